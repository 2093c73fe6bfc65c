"""`carelane serve` and `carelane worker`: run the engine until told to stop."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer
import uvicorn
from fastapi import FastAPI

from engine import logs, retention
from engine.cli.loading import ConfigOption, open_project, open_store
from engine.clock import Clock, SystemClock
from engine.coordination.handlers import handlers
from engine.coordination.records_polling import RecordsPolling
from engine.coordination.warming import warm
from engine.deliver.transport import Transport
from engine.deliver.worker import Settings
from engine.lookup import direct
from engine.metrics import Metrics
from engine.project import Project
from engine.replacing import following, started
from engine.sending import Sending, make_worker
from engine.server import create_app
from engine.server.deliverer import Deliverer, Leash
from engine.store import Store
from engine.subscriptions.following import Following
from engine.subscriptions.watching import Watching
from engine.timers import TimerRunner

_GRACE_SECONDS = 10
_YOUNG = 20_000
"""New objects that may stand unchecked; Python's own 700 is for small programs."""


def serve(
    config: ConfigOption = Path("config.yaml"),
    host: Annotated[str | None, typer.Option(help="Listen here instead of `server.host`.")] = None,
    port: Annotated[int | None, typer.Option(help="Listen here instead of `server.port`.")] = None,
    deliver: Annotated[
        bool | None,
        typer.Option(help="Run deliveries too, or leave them to `carelane worker`."),
    ] = None,
) -> None:
    """Run the HTTP API, and deliveries as `server.deliveries` says."""
    logs.configure()
    project = started(open_project(config, to_run=True), SystemClock().now())
    _spare_the_collector()
    with open_store(project, new=True) as store:
        settings = project.config.server
        chosen = port if port is not None else settings.port
        typer.echo(f"Carelane listens on http://{host or settings.host}:{chosen}/fhir", err=True)
        uvicorn.run(
            _application(project, store, _how(settings.deliveries, deliver), config),
            host=host or settings.host,
            port=chosen,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )


def _spare_the_collector() -> None:
    """Leave what is loaded out of every collection of cyclic garbage, and collect less often.

    Messages leave hardly any cycles behind; looking for them took a fifteenth of the time of each.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG)


def _how(configured: str, asked: bool | None) -> str:
    """Return how to deliver: what the command line asks for counts before the config."""
    if asked is None:
        return configured
    if not asked:
        return "apart"
    return "process" if configured == "apart" else configured


def _application(project: Project, store: Store, how: str, config: Path) -> FastAPI:
    if how == "process":
        return accompanied(project, store, config)
    return served(project, store, deliver=how == "beside")


def served(
    project: Project,
    store: Store,
    *,
    deliver: bool = True,
    transport: Transport | None = None,
    settings: Settings | None = None,
) -> FastAPI:
    """Return the application; with `deliver`, a worker in this process lives as long as it does."""
    clock, metrics = SystemClock(), Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        sending = Sending(project, metrics)
        async with following(project, (app.state.intake, sending)):
            if not deliver:
                yield
                return
            async with delivering(sending, store, clock, transport, settings):
                yield

    return create_app(project, store, clock=clock, metrics=metrics, lifespan=lifespan)


def accompanied(project: Project, store: Store, config: Path) -> FastAPI:
    """Return the application; as long as it lives a process of its own delivers."""
    clock, metrics = SystemClock(), Metrics()
    command = (sys.executable, "-m", "engine", "worker", "--config", str(config), "--leashed")
    deliverer = Deliverer(command, metrics, clock)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with following(project, (app.state.intake,)), deliverer.beside(store.signal):
            yield

    return create_app(
        project,
        store,
        clock=clock,
        metrics=metrics,
        lifespan=lifespan,
        deliveries=lambda: deliverer.condition,
    )


def worker(
    config: ConfigOption = Path("config.yaml"),
    leashed: Annotated[
        bool, typer.Option(hidden=True, help="End with the server that holds standard input.")
    ] = False,
) -> None:
    """Run deliveries alone, beside any number of servers and workers on the same record."""
    logs.configure()
    project = started(open_project(config, to_run=True), SystemClock().now())
    _spare_the_collector()
    loop = uvicorn.Config("").get_loop_factory()
    with open_store(project, new=True) as store, asyncio.Runner(loop_factory=loop) as runner:
        runner.run(_deliver(project, store, leashed))


async def _deliver(project: Project, store: Store, leashed: bool) -> None:
    stopping, metrics = asyncio.Event(), Metrics()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    sending = Sending(project, metrics)
    leash = Leash(metrics, store.signal.notify).held(stopping) if leashed else nullcontext()
    async with (
        leash,
        following(project, (sending,)),
        delivering(sending, store, SystemClock()),
    ):
        await stopping.wait()


@asynccontextmanager
async def delivering(
    sending: Sending,
    store: Store,
    clock: Clock,
    transport: Transport | None = None,
    settings: Settings | None = None,
) -> AsyncIterator[None]:
    """Deliver, let timers go off, and poll, for as long as the block lasts."""
    settings = settings or _settings()
    worker = make_worker(sending, store, clock, transport=transport, settings=settings)
    meanings = {
        **handlers(lambda: sending.project),
        retention.KIND: retention.goes_off(lambda: sending.project.config),
    }
    timers = TimerRunner(store, clock, meanings)
    await asyncio.wrap_future(store.write(retention.schedule))
    stopping = asyncio.Event()
    polling = RecordsPolling(lambda: sending.project, store, clock, direct)
    follower = Following(lambda: sending.project, store)
    watching = Watching(lambda: sending.project, store, clock, polling)
    running = (
        worker.run(),
        _warmed(sending.project, timers.run(stopping)),
        polling.run(stopping),
        follower.run(stopping),
        watching.run(stopping),
    )
    tasks = [asyncio.create_task(each) for each in running]
    try:
        yield
    finally:
        worker.stop()
        stopping.set()
        await asyncio.gather(*tasks)


async def _warmed(project: Project, running: Coroutine[Any, Any, None]) -> None:
    """Run timers once reviews are quick: the first one would keep the writer waiting."""
    await asyncio.to_thread(warm, project)
    await running


def _settings() -> Settings:
    return Settings(name=f"{socket.gethostname()}-{os.getpid()}", grace=_GRACE_SECONDS)
