"""Where other systems notify us: an endpoint with a secret for each subscription of ours."""

from __future__ import annotations

import asyncio

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from engine.coordination.records import records_settings
from engine.diagnostics import Diagnostic
from engine.intake import Intake
from engine.parse import Limits, parse
from engine.server.answers import Refusal
from engine.server.bodies import read_body
from engine.store import Store, Transaction, WatchRow
from engine.subscriptions.hearing import PATH, Heard, bears, hear, understood

_LARGEST = 1_000_000


class NotificationEndpoints:
    """Take notifications in; each is durable before it is answered, and looked at afterwards."""

    def __init__(self, intake: Intake, store: Store) -> None:
        self._intake = intake
        self._store = store

    def add_to(self, app: FastAPI) -> None:
        """Add the endpoint to the application."""
        path = f"/fhir/{PATH}/{{id}}"
        app.add_api_route(path, self.notified, methods=["POST"], response_model=None)

    async def notified(self, request: Request, id: str) -> Response:
        """Take one notification in."""
        scheme, _, secret = request.headers.get("authorization", "").partition(" ")
        known = await asyncio.to_thread(self._store.read, lambda tx: tx.watches.get(id))
        if not bears(known, secret.strip()) or scheme.lower() != "bearer":
            said = "No subscription of ours has this endpoint and secret."
            headers = {"WWW-Authenticate": 'Bearer realm="carelane"'}
            raise Refusal(401, Diagnostic("S020", said), headers=headers)
        if not self._is_watched(known):
            said = "Config does not have this system notify us any more."
            raise Refusal(404, Diagnostic("S020", said))
        heard = await self._heard(request)
        settings = records_settings(self._intake.project).subscribe

        def work(tx: Transaction) -> Diagnostic | None:
            watch = tx.watches.get(id)
            return hear(tx, watch, heard, settings) if watch is not None else None

        problem = await asyncio.wrap_future(self._store.write(work))
        if problem is not None:
            raise Refusal(422, problem)
        return Response(status_code=200)

    def _is_watched(self, watch: WatchRow | None) -> bool:
        systems = self._intake.project.config.systems
        system = systems.get(watch.system) if watch is not None else None
        return system is not None and system.updates == "subscription"

    async def _heard(self, request: Request) -> Heard:
        limits = self._intake.project.config.limits
        size = min(limits.bytes, _LARGEST)
        body = await read_body(request, size)
        parsed = parse(body, Limits(size, limits.depth, limits.entries))
        if parsed.tree is None:
            raise Refusal(parsed.status, *parsed.diagnostics)
        if parsed.tree["resourceType"] != "Bundle":
            said = "The body of this request must be a Bundle."
            raise Refusal(422, Diagnostic("S021", said, expected="Bundle"))
        heard = understood(parsed.tree)
        if isinstance(heard, Diagnostic):
            raise Refusal(422, heard)
        return heard
