"""The process that delivers beside a server: started, kept running, told of work, asked how it is.

The server writes a byte to it for each commit that gives it work; its standard input ends with the
server, however that ends, and then it winds down. It writes lines of JSON back: that it works, and
by how much its counters have grown. Neither knows anything that is not in the record.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Literal, Protocol

import structlog

from engine.clock import Clock
from engine.metrics import Metrics, Sample

FIRST_WAIT = 0.5
LONGEST_WAIT = 30.0
LIVED = 30.0
"""Seconds after which a process that ends is started again as if it were the first time."""

WIND_DOWN = 20.0
"""Seconds in which it must have recorded what is under way once it is told to end."""

REPORT_SECONDS = 1.0
_READ = 65_536

Say = Callable[[Sample | str], bool]
"""Tell the server something; False where that is not possible now."""

Condition = Literal["starting", "running", "failing", "ended"]
"""`failing`: it ended by itself and is started again after a wait."""

_log = structlog.get_logger("carelane.server")


class News(Protocol):
    """Call back in this process for each commit that gives workers work."""

    def tell(self, listener: Callable[[], None]) -> None: ...


class Deliverer:
    """Keep one process running that delivers, for as long as the server runs."""

    def __init__(
        self,
        command: Sequence[str],
        metrics: Metrics,
        clock: Clock,
        *,
        first: float = FIRST_WAIT,
        patience: float = WIND_DOWN,
    ) -> None:
        self._command = tuple(command)
        self._metrics = metrics
        self._clock = clock
        self._first = first
        self._patience = patience
        self._process: asyncio.subprocess.Process | None = None
        self._pipe: int | None = None
        self.condition: Condition = "starting"

    @property
    def pid(self) -> int | None:
        """Return the process that runs now."""
        return self._process.pid if self._process is not None else None

    @asynccontextmanager
    async def beside(self, news: News) -> AsyncIterator[None]:
        """Keep it running for as long as the block lasts, then let it wind down."""
        news.tell(self.nudge)
        keeping = asyncio.create_task(self._keep())
        try:
            yield
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            await self._end()

    def nudge(self) -> None:
        """Tell it that there is work; any thread may. A full pipe says so already."""
        pipe = self._pipe
        if pipe is not None:
            with suppress(OSError):
                os.write(pipe, b"\n")

    async def _keep(self) -> None:
        """Start it, and again whenever it ends; each time after twice the wait."""
        wait = self._first
        while True:
            began = self._clock.monotonic()
            code = await self._once()
            if self._clock.monotonic() - began >= LIVED:
                wait = self._first
            self.condition = "failing"
            _log.error("deliveries.ended", code=code, again_in=wait)
            await asyncio.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)

    async def _once(self) -> int | None:
        theirs, ours = os.pipe()
        os.set_blocking(ours, False)
        try:
            self._process = process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=theirs,
                stdout=asyncio.subprocess.PIPE,
                start_new_session=True,  # a Ctrl-C in the terminal is for the server alone
            )
            self._pipe = ours
        except OSError as error:
            os.close(ours)
            _log.error("deliveries.not-started", error=type(error).__name__)
            return None
        finally:
            os.close(theirs)
        await self._listen(process)
        code = await process.wait()
        self._let_go()
        return code

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            with suppress(ValueError):
                self._heard(json.loads(line))

    def _heard(self, told: Sample | str) -> None:
        if told == "running":
            self.condition = "running"
        elif isinstance(told, list):
            self._metrics.grow(told)

    def _let_go(self) -> None:
        pipe, self._pipe = self._pipe, None
        if pipe is not None:
            os.close(pipe)

    async def _end(self) -> None:
        """Let it record what is under way; what does not end in time is killed."""
        self.condition = "ended"
        self._let_go()
        process = self._process
        if process is None or process.returncode is not None:
            return
        try:
            async with asyncio.timeout(self._patience):
                await self._listen(process)
                await process.wait()
        except TimeoutError:
            _log.error("deliveries.killed", pid=process.pid)
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


class Leash:
    """The other end, in the process that delivers: `nudged` at each byte, `ended` with the server.

    Its descriptors are standard input and output.
    """

    def __init__(
        self, metrics: Metrics, nudged: Callable[[], None], say: Say | None = None
    ) -> None:
        self._metrics = metrics
        self._nudged = nudged
        self._say = say or _say
        self._told: dict[tuple[str, tuple[str, ...]], float] = {}

    @asynccontextmanager
    async def held(self, ended: asyncio.Event) -> AsyncIterator[None]:
        """Listen for as long as the block lasts, and report."""
        loop = asyncio.get_running_loop()
        os.set_blocking(1, False)
        loop.add_reader(0, self._read, ended)
        self._say("running")
        reporting = asyncio.create_task(self._report())
        try:
            yield
        finally:
            reporting.cancel()
            loop.remove_reader(0)
            self.tell()

    def _read(self, ended: asyncio.Event) -> None:
        if os.read(0, _READ):
            self._nudged()
        else:
            asyncio.get_running_loop().remove_reader(0)
            ended.set()

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(REPORT_SECONDS)
            self.tell()

    def tell(self) -> None:
        """Say by how much each counter has grown; what cannot be said now is said the next time."""
        for name, labels, value in self._metrics.samples():
            known = self._told.get((name, tuple(labels)), 0.0)
            if value != known and self._say([name, labels, value - known]):
                self._told[name, tuple(labels)] = value


def _say(told: Sample | str) -> bool:
    """Write one line to standard output; False where it cannot be written now."""
    try:
        os.write(1, json.dumps(told).encode() + b"\n")
        return True
    except OSError:
        return False
