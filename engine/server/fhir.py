"""The FHIR endpoints: submissions, single resources, reading back and searching."""

from __future__ import annotations

import asyncio
import re

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from engine.clock import Clock
from engine.diagnostics import Diagnostic
from engine.fhir.schema import schema
from engine.intake import Accepted, Arrival, Intake
from engine.lookup import Lookup
from engine.reading import read
from engine.searching import search, understood
from engine.server.answers import Refusal, fhir_response
from engine.server.bodies import expect_json, expect_no_condition, read_body
from engine.server.capability import capability
from engine.server.senders import Senders
from engine.store import Store

_ID = re.compile(r"[A-Za-z0-9\-._]{1,64}")
_MOST_KEY = 255


class FhirEndpoints:
    """Answer under /fhir; both with and without a trailing slash."""

    def __init__(
        self, intake: Intake, store: Store, senders: Senders, clock: Clock, lookup: Lookup
    ) -> None:
        self._intake = intake
        self._lookup = lookup
        self._store = store
        self._senders = senders
        self._clock = clock

    def add_to(self, app: FastAPI) -> None:
        """Add every endpoint to the application."""
        for path, method, endpoint in (
            ("/fhir", "POST", self.bundle),
            ("/fhir/", "POST", self.bundle),
            ("/fhir/$process-message", "POST", self.message),
            ("/fhir/metadata", "GET", self.metadata),
            ("/fhir/{type_name}", "POST", self.create),
            ("/fhir/{type_name}", "GET", self.search),
            ("/fhir/{type_name}/{id}", "PUT", self.update),
            ("/fhir/{type_name}/{id}", "GET", self.read),
        ):
            app.add_api_route(path, endpoint, methods=[method], response_model=None)

    async def bundle(self, request: Request) -> Response:
        """Take a Bundle in (transaction, batch, collection, message)."""
        system = self._senders.require(request)
        body = await self._body(request)
        return self._answered(await self._submit(request, system, "bundle", body), request)

    async def message(self, request: Request) -> Response:
        """Take a message Bundle in, and answer with a message."""
        system = self._senders.require(request)
        body = await self._body(request)
        accepted = await self._submit(request, system, "process-message", body)
        return self._answered(accepted, request)

    async def create(self, request: Request, type_name: str) -> Response:
        """Take one resource in."""
        system = self._senders.require(request)
        _expect_type(type_name)
        body = await self._body(request)
        accepted = await self._submit(request, system, f"create {type_name}", body)
        return self._answered(accepted, request)

    async def update(self, request: Request, type_name: str, id: str) -> Response:
        """Take one resource in under the sender's own id."""
        system = self._senders.require(request)
        _expect_type(type_name)
        expect_no_condition(request)
        body = await self._body(request)
        accepted = await self._submit(request, system, f"update {type_name}/{id}", body)
        return self._answered(accepted, request)

    async def read(self, request: Request, type_name: str, id: str) -> Response:
        """Return one resource as the reader may see it."""
        system = self._senders.require(request)
        expect_json(request)
        if not schema("R4").has(type_name) or not _ID.fullmatch(id):
            raise Refusal(404, Diagnostic("R006", "There is no such type or id."))
        project = self._intake.project
        told = await asyncio.to_thread(
            self._store.read, lambda tx: read(tx, project, system, type_name, id)
        )
        if told.resource is None:
            raise Refusal(told.status, *told.problems)
        return fhir_response(200, told.resource, {"ETag": f'W/"{told.version}"'})

    async def search(self, request: Request, type_name: str) -> Response:
        """Return a searchset of what the reader may see."""
        system = self._senders.require(request)
        expect_json(request)
        _expect_type(type_name)
        query = understood(request.query_params.multi_items())
        if query.problems:
            raise Refusal(400, *query.problems)
        if query.ignored and "handling=strict" in request.headers.get("prefer", ""):
            said = f"These search parameters are not known: {', '.join(query.ignored)}."
            raise Refusal(400, Diagnostic("R018", said))
        project, base = self._intake.project, str(request.base_url) + "fhir"
        found = await asyncio.to_thread(
            self._store.read, lambda tx: search(tx, project, system, type_name, query, base)
        )
        return fhir_response(200, found)

    async def metadata(self, request: Request) -> Response:
        """Return the CapabilityStatement; no authorization is needed to ask for it."""
        expect_json(request)
        base = str(request.base_url) + "fhir"
        return fhir_response(200, capability(self._intake.project, base, self._clock.now()))

    async def _body(self, request: Request) -> bytes:
        return await read_body(request, self._intake.project.config.limits.bytes)

    async def _submit(self, request: Request, system: str, asked: str, body: bytes) -> Accepted:
        key = request.headers.get("idempotency-key")
        if key is not None and len(key) > _MOST_KEY:
            problem = Diagnostic(
                "R005", "The Idempotency-Key is too long.", expected=f"at most {_MOST_KEY} bytes"
            )
            raise Refusal(400, problem)
        arrival = Arrival(
            system,
            asked,
            body,
            key=f"header {key}" if key else None,
            correlation=request.headers.get("x-request-id", "")[:128] or None,
        )
        await self._lookup.before(arrival)
        return await asyncio.wrap_future(self._intake.submit(arrival))

    def _answered(self, accepted: Accepted, request: Request) -> Response:
        answer = accepted.answer
        headers = {}
        if accepted.message:
            headers["X-Message-Id"] = accepted.message
        if accepted.repeated:
            headers["Idempotency-Replayed"] = "true"
        if answer.location:
            headers["Location"] = (
                f"{request.url.scheme}://{request.url.netloc}/fhir/{answer.location}"
            )
        return fhir_response(answer.status, answer.body, headers)


def _expect_type(type_name: str) -> None:
    if type_name not in schema("R4").resources:
        raise Refusal(404, Diagnostic("R017", "There is no such resource type."))
