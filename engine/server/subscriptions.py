"""Subscriptions over HTTP: /fhir/Subscription, `$status` and `$events`, to each system its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from engine.diagnostics import Diagnostic
from engine.intake import Intake
from engine.message import Resource
from engine.parse import Limits, parse
from engine.server.answers import Refusal, fhir_response
from engine.server.bodies import expect_json, expect_no_condition, read_body
from engine.server.senders import Senders
from engine.store import Store, Transaction
from engine.subscriptions import keeping
from engine.subscriptions.keeping import Answer, Sent
from engine.validate import validate

T = TypeVar("T")
_PATH = "/fhir/Subscription"
_MOST_KEY = 255
_SEARCHED = ("_id", "status", "url", "topic", "criteria")
_ASKED = {"_id": ("_id", "id"), "status": ("status",)}


class SubscriptionEndpoints:
    """Answer each system about its own subscriptions, and nobody about others'."""

    def __init__(self, intake: Intake, store: Store, senders: Senders) -> None:
        self._intake = intake
        self._store = store
        self._senders = senders

    def add_to(self, app: FastAPI) -> None:
        """Add every endpoint to the application."""
        for path, methods, endpoint in (
            (_PATH, ["POST"], self.create),
            (_PATH, ["GET"], self.search),
            (f"{_PATH}/$status", ["GET", "POST"], self.statuses),
            (f"{_PATH}/{{id}}", ["GET"], self.read),
            (f"{_PATH}/{{id}}", ["PUT"], self.update),
            (f"{_PATH}/{{id}}", ["DELETE"], self.delete),
            (f"{_PATH}/{{id}}/$status", ["GET", "POST"], self.status),
            (f"{_PATH}/{{id}}/$events", ["GET", "POST"], self.events),
        ):
            app.add_api_route(path, endpoint, methods=methods, response_model=None)

    async def create(self, request: Request) -> Response:
        """Take a Subscription in; a handshake follows."""
        given, project = await self._sent(request), self._intake.project
        return await self._written(request, lambda tx: keeping.create(tx, project, given))

    async def update(self, request: Request, id: str) -> Response:
        """Take a Subscription anew; another handshake follows, or its end."""
        given, project = await self._sent(request), self._intake.project
        expect_no_condition(request)
        if given.resource.get("id") != id:
            said = "The id of the body is not the id in the path."
            raise Refusal(422, Diagnostic("R012", said, path="Subscription.id"))
        return await self._written(request, lambda tx: keeping.update(tx, project, id, given))

    async def delete(self, request: Request, id: str) -> Response:
        """End a subscription and forget it."""
        system = self._senders.require(request)
        expect_no_condition(request)
        return await self._written(request, lambda tx: keeping.remove(tx, system, id))

    async def read(self, request: Request, id: str) -> Response:
        """Return one of the asker's own subscriptions, its secrets masked."""
        system = self._senders.require(request)
        expect_json(request)
        return self._answered(request, await self._read(lambda tx: keeping.found(tx, system, id)))

    async def search(self, request: Request) -> Response:
        """Return the asker's own subscriptions."""
        system, base = self._senders.require(request), self._base
        expect_json(request)
        given = request.query_params
        for name in given:
            if ":" in name and name.partition(":")[0] in _SEARCHED:
                said = "This modifier is not applied here."
                raise Refusal(400, Diagnostic("R018", said, path=name))
        unknown = [name for name in given if name not in (*_SEARCHED, "_format")]
        if unknown and "handling=strict" in request.headers.get("prefer", ""):
            said = f"These search parameters are not known: {', '.join(unknown)}."
            raise Refusal(400, Diagnostic("R018", said))
        wanted = {
            name: [one for value in given.getlist(name) for one in _values(name, value)]
            for name in _SEARCHED
            if name in given
        }
        found = await self._read(
            lambda tx: keeping.listed(tx, system, base, str(request.url), wanted)
        )
        return fhir_response(200, found)

    async def statuses(self, request: Request) -> Response:
        """Answer `$status` about several subscriptions, by `id` and `status`."""
        system, given = self._senders.require(request), await self._parameters(request)
        wanted = {
            name: [value for asked in names for value in given.get(asked, ())]
            for name, names in _ASKED.items()
            if any(asked in given for asked in names)
        }
        return await self._statuses(request, system, wanted)

    async def status(self, request: Request, id: str) -> Response:
        """Answer `$status` about one subscription."""
        system = self._senders.require(request)
        known = await self._read(lambda tx: keeping.found(tx, system, id))
        if known.status != 200:
            return self._answered(request, known)
        return await self._statuses(request, system, {"_id": [id]})

    async def _statuses(
        self, request: Request, system: str, wanted: Mapping[str, Sequence[str]]
    ) -> Response:
        base, link = self._base, str(request.url)
        found = await self._read(lambda tx: keeping.statuses(tx, system, base, link, wanted))
        return fhir_response(200, found, {"Cache-Control": "no-store"})

    async def events(self, request: Request, id: str) -> Response:
        """Answer `$events`: what happened from one number to another."""
        system, given = self._senders.require(request), await self._parameters(request)
        first, last = _number(given, "eventsSinceNumber"), _number(given, "eventsUntilNumber")
        content = next(iter(given.get("content", ())), None)
        project = self._intake.project
        answer = await self._read(
            lambda tx: keeping.events(
                tx, project, system, id, first=first or 1, last=last, content=content
            )
        )
        return self._answered(request, answer, {"Cache-Control": "no-store"})

    @property
    def _base(self) -> str:
        return self._intake.project.config.server.base

    async def _parameters(self, request: Request) -> dict[str, list[str]]:
        """Return the parameters of an operation, from the query or from a Parameters resource."""
        found = {name: request.query_params.getlist(name) for name in request.query_params}
        if request.method == "POST":
            told, _ = await self._resource(request, "Parameters")
            if problems := validate(told, "R4"):
                raise Refusal(422, *problems)
            for one in told.get("parameter", ()):
                values = [one[name] for name in one if name.startswith("value")]
                found.setdefault(str(one["name"]), []).extend(map(str, values))
        return found

    async def _sent(self, request: Request) -> Sent:
        system = self._senders.require(request)
        key = request.headers.get("idempotency-key")
        if key is not None and len(key) > _MOST_KEY:
            raise Refusal(400, Diagnostic("R005", "The Idempotency-Key is too long."))
        resource, body = await self._resource(request, "Subscription")
        return keeping.sent(system, resource, body, key)

    async def _resource(self, request: Request, type_name: str) -> tuple[Resource, bytes]:
        limits = self._intake.project.config.limits
        body = await read_body(request, limits.bytes)
        parsed = parse(body, Limits(limits.bytes, limits.depth, limits.entries))
        if parsed.tree is None:
            raise Refusal(parsed.status, *parsed.diagnostics)
        if parsed.tree["resourceType"] != type_name:
            said = f"The body of this request must be a {type_name}."
            raise Refusal(422, Diagnostic("R012", said, expected=type_name))
        return parsed.tree, body

    async def _read(self, run: Callable[[Transaction], T]) -> T:
        return await asyncio.to_thread(self._store.read, run)

    async def _written(self, request: Request, run: Callable[[Transaction], Answer]) -> Response:
        answer = await asyncio.wrap_future(self._store.write(run))
        return self._answered(request, answer)

    def _answered(
        self, request: Request, answer: Answer, more: dict[str, str] | None = None
    ) -> Response:
        headers = dict(more or {})
        if answer.version is not None and answer.status < 300:
            headers["ETag"] = f'W/"{answer.version}"'
        if answer.status == 201:
            headers["Location"] = f"{self._base}/Subscription/{answer.id}"
        if answer.body is None:
            return Response(status_code=answer.status, headers=headers)
        return fhir_response(answer.status, answer.body, headers)


def _values(name: str, value: str) -> list[str]:
    return [value] if name in ("url", "topic", "criteria") else value.split(",")


def _number(given: dict[str, list[str]], name: str) -> int | None:
    """Return an event number, None where none is given; refuse what is none."""
    text = next(iter(given.get(name, ())), None)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        said = "This is no event number."
        raise Refusal(400, Diagnostic("R012", said, path=name, expected="a whole number"))
    return int(text)
