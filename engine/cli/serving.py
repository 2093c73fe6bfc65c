"""What the processes of `carelane serve` and `carelane worker` run: the API, and deliveries."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import structlog
import uvicorn
from fastapi import FastAPI

from engine import logs, retention
from engine.cli.loading import open_store
from engine.clock import Clock, SystemClock
from engine.coordination.handlers import foresights, handlers
from engine.coordination.records_polling import RecordsPolling
from engine.coordination.warming import warm
from engine.deliver.transport import Transport
from engine.deliver.worker import Settings
from engine.lookup import direct
from engine.metrics import Metrics
from engine.project import Project
from engine.replacing import caught_up, following
from engine.sending import Sending, make_worker
from engine.server import create_app
from engine.server.board import Board
from engine.server.heads import BoundedHeads
from engine.server.listening import Listening
from engine.server.pipes import Bell, Leash
from engine.store import Store
from engine.subscriptions.following import Following
from engine.subscriptions.watching import Watching
from engine.timers import HEAD_START, TimerRunner

DELIVERIES = "deliveries"
_GRACE_SECONDS = 10

_log = structlog.get_logger("carelane.server")


def run_app(app: FastAPI, listening: Sequence[socket.socket]) -> None:
    """Answer at sockets that listen already, until told to stop."""
    config = uvicorn.Config(
        app,
        log_config=None,  # as `engine.logs` has it
        log_level="warning",
        access_log=False,
        http=BoundedHeads,
        ws="none",  # there is no WebSocket here: who asks for one is answered like all others
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=list(listening))


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


@dataclass(frozen=True, slots=True)
class Crew:
    """Hold what the processes of one server have in common, and what each of them does.

    Each opens the record itself: no connection outlives a fork.
    """

    project: Project
    board: Board
    leash: Leash
    bell: Bell
    parent: int = field(default_factory=os.getpid)

    def take_in(self, name: str, listening: Listening, how: str) -> None:
        """Answer where the server listens; deliver too where that goes on `beside`."""
        project = caught_up(self.project)
        with open_store(project) as store:
            run_app(self._app(name, project, store, how), listening.sockets())
        self._tidy()

    def _app(self, name: str, project: Project, store: Store, how: str) -> FastAPI:
        clock, metrics = SystemClock(), Metrics()
        page = self.board.page(name, metrics)
        store.signal.tell(self.bell.ring)

        @asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncIterator[None]:
            sending = Sending(project, metrics)
            beside = delivering(sending, store, clock) if how == "beside" else nullcontext()
            with self.leash.worn():
                async with page.kept(), following(project, (app.state.intake, sending)), beside:
                    yield

        return create_app(
            project,
            store,
            clock=clock,
            metrics=metrics,
            lifespan=lifespan,
            deliveries=self.board.condition if how == "process" else None,
            figures=page.together,
        )

    def failed(self, name: str) -> None:
        """Put down that a process ended by itself."""
        if name == DELIVERIES:
            self.board.tell_condition("failing")

    def deliver(self) -> None:
        """Deliver, whenever the bell rings and by the clock."""
        project = caught_up(self.project)
        with open_store(project) as store:
            run_deliveries(project, store, self)
        self._tidy()

    def _tidy(self) -> None:
        """Remove what the process that forked this one would have, were it not gone."""
        if os.getppid() != self.parent:
            self.board.remove()


def run_deliveries(project: Project, store: Store, crew: Crew | None = None) -> None:
    """Deliver until told to stop, alone or in a crew."""
    loop = uvicorn.Config("", log_config=None).get_loop_factory()
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(_deliver(project, store, crew))


async def _deliver(project: Project, store: Store, crew: Crew | None) -> None:
    stopping, failing, metrics = asyncio.Event(), asyncio.Event(), Metrics()

    def failed() -> None:
        failing.set()
        stopping.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    sending = Sending(project, metrics)
    together = _together(crew, store, metrics) if crew is not None else nullcontext()
    working = delivering(sending, store, SystemClock(), failed=failed)
    async with together, following(project, (sending,)), working:
        await stopping.wait()
    if failing.is_set():
        raise SystemExit(1)


@asynccontextmanager
async def _together(crew: Crew, store: Store, metrics: Metrics) -> AsyncIterator[None]:
    """Be led and rung, and tell what is counted, for as long as the block lasts."""
    page = crew.board.page(DELIVERIES, metrics)
    with crew.leash.worn(), crew.bell.heard(store.signal.notify):
        async with page.kept():
            crew.board.tell_condition("running")
            yield


@asynccontextmanager
async def delivering(
    sending: Sending,
    store: Store,
    clock: Clock,
    transport: Transport | None = None,
    settings: Settings | None = None,
    failed: Callable[[], None] | None = None,
) -> AsyncIterator[None]:
    """Deliver, let timers go off, and poll, for as long as the block lasts.

    `failed` is called where any of that ends by itself; this process then winds down.
    """
    settings = settings or _settings()
    worker = make_worker(sending, store, clock, transport=transport, settings=settings)
    meanings = {
        **handlers(lambda: sending.project),
        retention.KIND: retention.goes_off(lambda: sending.project.config),
    }
    ahead = foresights(lambda: sending.project)
    timers = TimerRunner(store, clock, meanings, ahead, HEAD_START)
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
    for task in tasks:
        task.add_done_callback(partial(_end_where_failed, failed or _end_by_signal))
    try:
        yield
    finally:
        worker.stop()
        stopping.set()
        await asyncio.gather(*tasks, return_exceptions=True)


def _end_by_signal() -> None:
    """Have this process wind down, so that whoever looks after it starts another."""
    os.kill(os.getpid(), signal.SIGTERM)


def _end_where_failed(failed: Callable[[], None], task: asyncio.Task[None]) -> None:
    """Say that a part of delivering ended by itself: nobody may believe that it goes on."""
    error = None if task.cancelled() else task.exception()
    if error is not None:
        _log.error("deliveries.failed", **logs.origin(error))
        failed()


async def _warmed(project: Project, running: Coroutine[Any, Any, None]) -> None:
    """Run timers once reviews are quick: the first one would keep the writer waiting."""
    await asyncio.to_thread(warm, project)
    await running


def _settings() -> Settings:
    return Settings(name=f"{socket.gethostname()}-{os.getpid()}", grace=_GRACE_SECONDS)
