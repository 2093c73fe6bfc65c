"""The fault harness through the command itself: `carelane serve`, and the process beside it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import httpx
import psutil  # type: ignore[import-untyped]
from harness import POISONS, Harness, Report, database
from traffic import Senders, Voice, environment, poison, prepare

STARTS = 60.0
STOPS = 30.0
ENDS = ("deliveries", "deliveries", "server", "server", "told to stop")
"""What is killed by SIGKILL, or told to stop by SIGTERM, each as likely as it stands here often."""


class Commanded(Harness):
    """Run `carelane serve` and kill it, or the process that delivers for it, at any time."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.report.processes = "`carelane serve` with its deliveries in a process of their own"

    async def _play(self, senders: Senders) -> None:
        await self._start()
        await prepare(senders, self.members)
        until = time.monotonic() + self.seconds
        voices = [
            Voice(number, senders, self._chance.getrandbits(32)) for number in range(self.members)
        ]
        speaking = [asyncio.create_task(voice.speak(until, self.pace)) for voice in voices]
        speaking += [asyncio.create_task(poison(senders, number)) for number in range(POISONS)]
        while time.monotonic() < until:
            await asyncio.sleep(self._chance.uniform(0.1, 1.5))
            await self._end_one(self._chance.choice(ENDS))
        await asyncio.gather(*speaking)
        for sink in self._sinks:
            sink.wild = False
        await self._drain()
        await self._stop()

    async def _start(self) -> None:
        """Start the command; wait until it and its deliveries work."""
        command = [sys.executable, "-m", "engine", "serve"]
        command += ["--config", str(self.folder / "config.yaml"), "--port", str(self._ports[0])]
        log = (self.folder / "serve.log").open("ab")
        self._process = await asyncio.create_subprocess_exec(
            *command, env={**os.environ, **environment(self.url)}, stderr=log
        )
        until = time.monotonic() + STARTS
        async with httpx.AsyncClient(timeout=5) as client:
            while time.monotonic() < until and self._process.returncode is None:
                with suppress(httpx.HTTPError):
                    told = await client.get(f"http://127.0.0.1:{self._ports[0]}/readyz")
                    if told.json().get("deliveries") == "running":
                        return
                await asyncio.sleep(0.05)
        self.report.broken.append("`carelane serve` did not come up")

    async def _end_one(self, what: str) -> None:
        if what == "told to stop":
            await self._stop()
            await self._start()
            return
        beside = self._beside()
        victim = beside if what == "deliveries" else psutil.Process(self._process.pid)
        if victim is None:
            return
        with suppress(psutil.NoSuchProcess):
            victim.send_signal(signal.SIGKILL)
            self.report.kills[f"{what}, any time"] += 1
        if what == "server":
            await self._process.wait()
            await self._gone(beside)
            await self._start()

    def _beside(self) -> psutil.Process | None:
        """Return the process that delivers now, if there is one."""
        with suppress(psutil.NoSuchProcess):
            return next(iter(psutil.Process(self._process.pid).children()), None)
        return None

    async def _stop(self) -> None:
        """Let it wind down, and what is beside it."""
        beside = self._beside()
        self._process.terminate()
        try:
            async with asyncio.timeout(STOPS):
                code = await self._process.wait()
        except TimeoutError:
            self.report.broken.append("`carelane serve` did not stop")
            self._process.kill()
            return
        if code not in (0, -signal.SIGTERM):
            self.report.broken.append(f"`carelane serve` stopped with {code}")
        self.report.stops += 1
        await self._gone(beside)

    async def _gone(self, beside: psutil.Process | None) -> None:
        """See that no process is left behind by the one that it belonged to."""
        until = time.monotonic() + STOPS
        while beside is not None and beside.is_running() and time.monotonic() < until:
            if beside.status() == psutil.STATUS_ZOMBIE:
                return
            await asyncio.sleep(0.02)
        if beside is not None and beside.is_running():
            self.report.broken.append("a process that delivers outlived its server")
            beside.kill()


def commanded(postgresql: bool, seconds: float, seed: int = 1, members: int = 24) -> Report:
    """Run the harness through the command."""
    with tempfile.TemporaryDirectory() as name, database(postgresql, Path(name)) as url:
        return asyncio.run(Commanded(url, seed, seconds, Path(name), members=members).run())
