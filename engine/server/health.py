"""Whether the engine lives and can work, and with which mappings; the figures for Prometheus."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from fastapi import FastAPI
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from engine import __version__
from engine.clock import Clock
from engine.errors import StoreError
from engine.intake import Intake
from engine.metrics import Sample
from engine.store import Store

Deliveries = Callable[[], str] | None
"""Say how the process is that delivers beside this server; None where there is none."""

Figures = Callable[[], Iterable[Sample]]
"""Return what all processes of this server have counted."""


class HealthEndpoints:
    """Answer /healthz, /readyz and /metrics."""

    def __init__(
        self,
        intake: Intake,
        store: Store,
        clock: Clock,
        deliveries: Deliveries = None,
        figures: Figures | None = None,
    ) -> None:
        self._intake = intake
        self._deliveries = deliveries
        self._figures = figures or intake.metrics.samples
        self._store = store
        self._clock = clock

    def add_to(self, app: FastAPI) -> None:
        """Add the endpoints to the application."""
        app.add_api_route("/healthz", self.alive, methods=["GET"], response_model=None)
        app.add_api_route("/readyz", self.ready, methods=["GET"], response_model=None)
        app.add_api_route("/metrics", self.figures, methods=["GET"], response_model=None)

    async def alive(self, request: Request) -> Response:
        """Say that the process answers, and which mappings are in force."""
        adapters = self._intake.project.adapters
        mappings = {
            adapter.name: {"version": adapter.version, "hash": adapter.hash}
            for adapter in adapters.mapped.values()
        }
        told = {"status": "ok", "version": __version__, "mappings": mappings}
        return JSONResponse({**told, "mapping_set": adapters.set_hash or None})

    async def ready(self, request: Request) -> Response:
        """Say whether the record can be written now, which is tried, and whether deliveries run."""
        try:
            await asyncio.wait_for(
                asyncio.wrap_future(self._store.write(lambda tx: tx.upkeep.probe())), 5
            )
        except (StoreError, TimeoutError):
            return JSONResponse({"status": "the record cannot be written"}, 503)
        if self._deliveries is None:
            return JSONResponse({"status": "ready"})
        how = self._deliveries()
        if how == "failing":
            return JSONResponse(
                {"status": "the process that delivers ended", "deliveries": how}, 503
            )
        return JSONResponse({"status": "ready", "deliveries": how})

    async def figures(self, request: Request) -> Response:
        """Return the figures of this server and the queues of the record, for Prometheus."""
        told = await asyncio.to_thread(self._told)
        return Response(told, media_type=CONTENT_TYPE_LATEST)

    def _told(self) -> bytes:
        queues = self._store.read(lambda tx: tx.deliveries.depth())
        return self._intake.metrics.exposition(self._figures(), queues, self._clock)
