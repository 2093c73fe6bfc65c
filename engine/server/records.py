"""The record for auditors over HTTP: GET /fhir/AuditEvent and GET /fhir/Provenance?target=."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from engine.clock import written
from engine.diagnostics import Diagnostic
from engine.events import Wanted, event, events, provenances
from engine.fhir.dates import moment
from engine.intake import Intake
from engine.message import Resource
from engine.server.answers import Refusal, fhir_response
from engine.server.bodies import expect_json
from engine.server.senders import Senders
from engine.store import Store, Transaction
from engine.transform.crosswalk import literal, reference_key

MOST = 100
"""How many decisions one page of events covers at most."""

Search = Callable[[Request, str], Awaitable[Response]]


class RecordEndpoints:
    """Answer the operator (`reads: all`) about decisions and disclosures; nobody else."""

    def __init__(self, intake: Intake, store: Store, senders: Senders, search: Search) -> None:
        self._intake = intake
        self._store = store
        self._senders = senders
        self._search = search

    def add_to(self, app: FastAPI) -> None:
        """Add the endpoints to the application."""
        for path, endpoint in (
            ("/fhir/AuditEvent", self.audit_events),
            ("/fhir/AuditEvent/{id}", self.audit_event),
            ("/fhir/Provenance", self.provenance),
        ):
            app.add_api_route(path, endpoint, methods=["GET"], response_model=None)

    async def audit_events(self, request: Request) -> Response:
        """Return decisions and disclosures; by patient, entity and date."""
        system = self._operator(request)
        project, given = self._intake.project, _parameters(request)
        entity = given.entity

        def run(tx: Transaction) -> Any:
            named = _canonical(tx, system, entity) if entity else None
            return events(tx, project, given.wanted(named))

        page = await asyncio.to_thread(self._store.read, run)
        return fhir_response(200, _bundle(request, page.events, page.after))

    async def audit_event(self, request: Request, id: str) -> Response:
        """Return one event by its id."""
        self._operator(request)
        project = self._intake.project
        found = await asyncio.to_thread(self._store.read, lambda tx: event(tx, project, id))
        if found is None:
            raise Refusal(404, Diagnostic("R006", "There is no such event."))
        return fhir_response(200, found)

    async def provenance(self, request: Request) -> Response:
        """Return where each delivery of `target` came from and which Consent it rests on.

        Without a target this is the search for Provenance that somebody sent.
        """
        target = request.query_params.get("target")
        if target is None:
            return await self._search(request, "Provenance")
        system = self._operator(request)
        project = self._intake.project
        found = await asyncio.to_thread(
            self._store.read,
            lambda tx: provenances(tx, project, _canonical(tx, system, target)),
        )
        return fhir_response(200, _bundle(request, found, None))

    def _operator(self, request: Request) -> str:
        system = self._senders.require(request)
        expect_json(request)
        if self._intake.project.config.systems[system].reads != "all":
            raise Refusal(403, Diagnostic("N006", "The record of decisions is the operator's."))
        return system


@dataclass(frozen=True, slots=True)
class _Given:
    """Hold the search parameters that are understood."""

    patient: str | None
    entity: str | None
    since: str | None
    until: str | None
    after: str
    count: int

    def wanted(self, entity: str | None) -> Wanted:
        return Wanted(self.patient, entity, None, self.since, self.until, self.after, self.count)


def _parameters(request: Request) -> _Given:
    found = request.query_params
    count = found.get("_count", str(MOST))
    since, until = _dates(found.getlist("date"))
    return _Given(
        found.get("patient"),
        found.get("entity"),
        since,
        until,
        found.get("_after", ""),
        max(1, min(MOST, int(count[:9]))) if count.isascii() and count.isdigit() else MOST,
    )


def _dates(given: Iterable[str]) -> tuple[str | None, str | None]:
    """Read `date=ge...` and `date=lt...` (http://hl7.org/fhir/R4/search.html#date)."""
    since: str | None = None
    until: str | None = None
    for text in given:
        prefix, value = (text[:2], text[2:]) if text[:2].isalpha() else ("", text)
        at = _instant(value)
        if prefix not in ("ge", "lt") or at is None:
            problem = Diagnostic(
                "R012",
                "This date cannot be searched by.",
                path="date",
                expected="ge or lt and an instant in UTC, such as ge2026-05-01T00:00:00Z",
            )
            raise Refusal(400, problem)
        if prefix == "ge":
            since = at
        else:
            until = at
    return since, until


def _instant(text: str) -> str | None:
    """Return a FHIR instant as the record writes it, or None for what is none."""
    if moment(text) is None or "T" not in text:
        return None
    try:
        return written(text)
    except ValueError:
        return None


def _canonical(tx: Transaction, system: str, name: str) -> str:
    """Return the canonical reference of what the operator names by its own or the canonical id."""
    found = literal(name)
    if found is None:
        return name
    own = tx.crosswalk.resolve([reference_key(system, found.local)])
    entity = next(iter(own.values()), None) or tx.crosswalk.current(found.id) or found.id
    return f"{found.type}/{entity}"


def _bundle(request: Request, found: Sequence[Resource], last: str | None) -> Resource:
    base = f"{request.url.scheme}://{request.url.netloc}{request.url.path}"
    asked = [(name, value) for name, value in request.query_params.multi_items()]
    links = [{"relation": "self", "url": str(request.url)}]
    if last is not None:
        kept = [(name, value) for name, value in asked if name != "_after"]
        links.append({"relation": "next", "url": f"{base}?{urlencode([*kept, ('_after', last)])}"})
    bundle: Resource = {"resourceType": "Bundle", "type": "searchset", "link": links}
    entries = [
        {"fullUrl": f"{base}/{one['id']}", "resource": one, "search": {"mode": "match"}}
        for one in found
    ]
    return {**bundle, "entry": entries} if entries else bundle
