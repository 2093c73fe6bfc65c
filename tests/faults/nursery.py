"""A preloaded parent of the fault harness: each process of the engine is forked from it at once.

It is the test's own entry to `carelane serve` and `carelane worker`: the same application and the
same worker, with checkpoints at which they die by SIGKILL. Orders come as JSON lines on stdin.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import json
import os
import random
import selectors
import signal
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

import alembic.command
import psycopg
import sqlalchemy.dialects.postgresql.psycopg
import uvicorn
from traffic import bundle, care_team, consent, organizations, outreach, patient, practitioner

from engine import logs
from engine.cli.serving import delivering, served
from engine.clock import SystemClock
from engine.deliver.answer import Reply
from engine.deliver.destination import Destination
from engine.deliver.request import Request
from engine.deliver.transport import HttpTransport
from engine.deliver.worker import Settings
from engine.intake import Arrival, Intake
from engine.project import Project, load
from engine.replacing import started
from engine.sending import Sending
from engine.store import Store

PRELOADED = (alembic.command, psycopg, sqlalchemy.dialects.postgresql.psycopg)
LEASE = 2.0
GRACE = 5


class Doom:
    """Kill this process when a checkpoint was passed so many times."""

    def __init__(self, name: str | None, times: int) -> None:
        self.name = name
        self.left = times

    def __call__(self, name: str) -> None:
        if name == self.name:
            self.left -= 1
            if self.left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)


class DoomedTransport(HttpTransport):
    """Pass a checkpoint before and after each request."""

    def __init__(self, doom: Doom) -> None:
        super().__init__()
        self.doom = doom

    async def send(self, destination: Destination, request: Request) -> Reply:
        self.doom("before-send")
        reply = await super().send(destination, request)
        self.doom("after-send")
        return reply


class Announced(uvicorn.Server):
    """Say when the server listens, and when it has finished what was under way."""

    number = 0

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        say("up", self.number)

    async def shutdown(self, sockets: Any = None) -> None:
        await super().shutdown(sockets)
        say("done", self.number)


def live(given: dict[str, Any], project: Project) -> None:
    """Be a server or a worker until killed or told to stop."""
    doom = Doom(given["checkpoint"], given["times"])
    settings = Settings(name=f"{given['role']}-{os.getpid()}", lease=LEASE, grace=GRACE)
    with Store.open(given["store"], checkpoint=doom) as store:
        if given["role"] == "server":
            _serve(given, project, store, DoomedTransport(doom), settings)
        else:
            asyncio.run(_work(given, project, store, DoomedTransport(doom), settings))


def _serve(
    given: dict[str, Any],
    project: Project,
    store: Store,
    transport: HttpTransport,
    settings: Settings,
) -> None:
    app = served(project, store, transport=transport, settings=settings)
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=given["port"],
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=GRACE,
    )
    server = Announced(config)
    server.number = given["number"]
    server.run()


async def _work(
    given: dict[str, Any],
    project: Project,
    store: Store,
    transport: HttpTransport,
    settings: Settings,
) -> None:
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    async with delivering(Sending(project), store, SystemClock(), transport, settings):
        say("up", given["number"])
        await stopping.wait()
    say("done", given["number"])


def say(word: str, number: int, more: int = 0) -> None:
    """Tell the harness at once."""
    os.write(1, f"{word} {number} {more}\n".encode())


class Nursery:
    """Fork processes on demand and tell how each of them ended."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._selector = selectors.DefaultSelector()
        self._selector.register(0, selectors.EVENT_READ)
        self._rest = b""

    def run(self) -> None:
        """Work until the harness closes stdin; then end every child."""
        while True:
            for key, _ in self._selector.select():
                if key.fd != 0:
                    self._bury(key.fd, *key.data)
                elif not self._listen():
                    self._end()
                    return

    def _listen(self) -> bool:
        said = os.read(0, 65536)
        *lines, self._rest = (self._rest + said).split(b"\n")
        for line in lines:
            self._bear(json.loads(line))
        return bool(said)

    def _bear(self, given: dict[str, Any]) -> None:
        pid = os.fork()
        if pid == 0:
            _child(given, self._project)
        fd = os.pidfd_open(pid)
        self._selector.register(fd, selectors.EVENT_READ, (given["number"], pid))
        say("born", given["number"], pid)

    def _bury(self, fd: int, number: int, pid: int) -> None:
        self._selector.unregister(fd)
        os.close(fd)
        _, status = os.waitpid(pid, 0)
        say("gone", number, os.waitstatus_to_exitcode(status))

    def _end(self) -> None:
        for key in list(self._selector.get_map().values()):
            if key.fd != 0:
                os.kill(key.data[1], signal.SIGKILL)


def _child(given: dict[str, Any], project: Project) -> None:
    code = 1
    try:
        random.seed()
        os.close(0)
        os.open(os.devnull, os.O_RDONLY)
        live(given, project)
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def warm(project: Project) -> None:
    """Do once what every process would do first, so that those forked later need not.

    No thread of it is left: the store is closed before anything is forked.
    """
    messages = [
        ("mercy", bundle([*organizations(), patient("m", 1), consent(1, 0, active=True)])),
        ("hub", bundle([patient("h", 1)])),
        ("mercy", bundle([care_team(1, 1), practitioner(1, 1, 1), outreach("mercy", 1, 1)])),
        ("hub", bundle([outreach("hub", 1, 2)])),
    ]
    with (
        tempfile.TemporaryDirectory() as folder,
        Store.open(f"sqlite:///{folder}/warm.db") as store,
    ):
        intake = Intake(project, store, SystemClock())
        for number, (system, body) in enumerate(messages):
            content = json.dumps(body).encode()
            intake.submit(Arrival(system, "bundle", content, f"warm-{number}")).result()
        uvicorn.Config(served(project, store)).load()


def main() -> None:
    """Load the project that is named, then fork on demand."""
    faulthandler.enable()
    logs.configure()
    project = started(load(Path(sys.argv[1])), SystemClock().now())
    warm(project)
    gc.collect()
    gc.freeze()
    say("ready", 0)
    Nursery(project).run()


if __name__ == "__main__":
    main()
