"""The fault harness through the command itself: `carelane serve`, and the processes it forks."""

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
PROCESSES = 2
"""How many take submissions in."""
ENDS = ("one of its processes",) * 4 + ("server",) * 2 + ("told to stop",)
"""What is killed by SIGKILL, or told to stop by SIGTERM, each as likely as it stands here often."""


class Commanded(Harness):
    """Run `carelane serve` and kill it, or one of the processes that it forked, at any time."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.report.processes = (
            f"`carelane serve`: {PROCESSES} processes that take in, one that delivers, "
            "and the one that looks after them"
        )

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
        command += ["--processes", str(PROCESSES)]
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
        forked = self._forked()
        victim = psutil.Process(self._process.pid)
        if what != "server":
            if not forked:
                return
            victim = self._chance.choice(forked)
        with suppress(psutil.NoSuchProcess):
            victim.send_signal(signal.SIGKILL)
            self.report.kills[f"{what}, any time"] += 1
        if what == "server":
            await self._process.wait()
            await self._gone(forked)
            await self._start()

    def _forked(self) -> list[psutil.Process]:
        """Return the processes that do the work now."""
        with suppress(psutil.NoSuchProcess):
            return list(psutil.Process(self._process.pid).children())
        return []

    async def _stop(self) -> None:
        """Let it wind down, with all of its processes."""
        forked = self._forked()
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
        await self._gone(forked)

    async def _gone(self, forked: list[psutil.Process]) -> None:
        """See that no process is left behind by the one that it belonged to."""
        until = time.monotonic() + STOPS
        for one in forked:
            while _lives(one) and time.monotonic() < until:
                await asyncio.sleep(0.02)
            if _lives(one):
                self.report.broken.append("a process outlived the one that forked it")
                one.kill()


def _lives(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


def commanded(postgresql: bool, seconds: float, seed: int = 1, members: int = 24) -> Report:
    """Run the harness through the command."""
    with tempfile.TemporaryDirectory() as name, database(postgresql, Path(name)) as url:
        return asyncio.run(Commanded(url, seed, seconds, Path(name), members=members).run())
