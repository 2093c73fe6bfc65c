"""The application: routes, and the one handler that turns every failure into FHIR."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import structlog
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from engine import __version__, logs
from engine.clock import Clock, SystemClock
from engine.diagnostics import Diagnostic
from engine.errors import OutboxFull, StoreBusy, StoreError
from engine.intake import Intake
from engine.lookup import Connect, Lookup, direct
from engine.metrics import Metrics
from engine.project import Project
from engine.server.answers import Refusal
from engine.server.consult import ConsultEndpoints
from engine.server.express import Application, Express, Handlers
from engine.server.fhir import FhirEndpoints
from engine.server.health import Deliveries, Figures, HealthEndpoints
from engine.server.notifications import NotificationEndpoints
from engine.server.records import RecordEndpoints
from engine.server.senders import Senders
from engine.server.subscriptions import SubscriptionEndpoints
from engine.server.summary import SummaryEndpoints
from engine.store import Store

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]

_log = structlog.get_logger("carelane.server")


def create_app(
    project: Project,
    store: Store,
    *,
    clock: Clock | None = None,
    metrics: Metrics | None = None,
    lifespan: Lifespan | None = None,
    connect: Connect = direct,
    deliveries: Deliveries = None,
    figures: Figures | None = None,
) -> FastAPI:
    """Return the application over a loaded project and an open store.

    `lifespan` may run deliveries beside it; without one the application only takes in and answers.
    `deliveries` says how a process is that delivers beside it, `figures` what all processes of the
    server have counted; without it, what this one has.
    `connect` gives the way to a system that is asked whom it means (`engine.lookup`).
    """
    clock = clock or SystemClock()
    app = Application(
        title="Carelane",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    intake = Intake(project, store, clock, metrics)
    app.state.intake = intake
    senders = Senders(project.config.systems)
    ConsultEndpoints(intake, store, senders).add_to(app)
    fhir = FhirEndpoints(intake, store, senders, clock, Lookup(intake, store, connect))
    RecordEndpoints(intake, store, senders, fhir.search).add_to(app)
    SummaryEndpoints(intake, store, senders).add_to(app)
    SubscriptionEndpoints(intake, store, senders).add_to(app)
    NotificationEndpoints(intake, store).add_to(app)
    fhir.add_to(app)
    HealthEndpoints(intake, store, clock, deliveries, figures).add_to(app)
    handlers = _handlers()
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)
    app.express = Express(app, handlers, bundle=fhir.bundle, create=fhir.create, update=fhir.update)
    return app


def _handlers() -> Handlers:
    return {
        Refusal: lambda _, refusal: refusal.response(),
        HTTPException: _no_such_path,
        ClientDisconnect: _gone,
        StoreBusy: _busy,
        StoreError: _unreachable,
        Exception: _failed,
    }


def _no_such_path(request: Request, error: HTTPException) -> Response:
    said = "This method is not offered here." if error.status_code == 405 else "No such path here."
    problem = Diagnostic("R017", said, remedy="see GET /fhir/metadata.")
    return Refusal(error.status_code, problem, headers=error.headers).response()


def _gone(request: Request, error: ClientDisconnect) -> Response:
    """Answer, for the form, who went away before the body was whole: nothing failed here."""
    return Refusal(400, Diagnostic("P015", "The body did not come whole.")).response()


def _busy(request: Request, error: StoreBusy) -> Response:
    said = "The engine takes no more work now; nothing was kept."
    if isinstance(error, OutboxFull):
        said = f"Too much waits for the system {error.destination} already; nothing was kept."
    problem = Diagnostic("R008", said)
    seconds = str(max(1, round(error.retry_after)))
    return Refusal(503, problem, headers={"Retry-After": seconds}).response()


def _unreachable(request: Request, error: StoreError) -> Response:
    _log.error("store.unreachable", path=request.url.path, error=type(error).__name__)
    problem = Diagnostic("R016", "The durable record did not answer; nothing was kept.")
    return Refusal(503, problem, headers={"Retry-After": "2"}).response()


def _failed(request: Request, error: Exception) -> Response:
    _log.error("request.failed", path=request.url.path, **logs.origin(error))
    problem = Diagnostic("R011", "The engine failed; nothing was acknowledged.")
    return Refusal(500, problem).response()
