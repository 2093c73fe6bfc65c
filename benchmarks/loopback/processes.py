"""Start and end the processes of a measurement; every one ends with its block."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from engine.samples.running import free_port
from loopback.payloads import settings

HERE = Path(__file__).resolve().parent.parent
TOKEN = "mercy-token-of-the-benchmark"
START_SECONDS = 60.0
PATIENCE = 60.0
"""Seconds without any arrival after which no more are expected."""
AT_ONCE = 64
"""Requests that the sink takes at once: it answers in no time, only the engine is measured."""
OUTBOX = 1_000_000


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(HERE), **more}


@contextmanager
def process(
    command: Sequence[str], environ: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[str]]:
    """Run a process of Python until the block ends; what it complains of goes to `log`."""
    with log.open("ab") as errors:
        running = subprocess.Popen(
            [sys.executable, *command],
            env=_environment(environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    try:
        yield running
    finally:
        running.terminate()
        try:
            running.wait(20)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


def ready(url: str, running: subprocess.Popen[str]) -> None:
    """Wait until a server answers that it is ready."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and running.poll() is None:
        try:
            if httpx.get(f"{url}/readyz", timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.05)
    raise RuntimeError("a server of the benchmark did not start")


@contextmanager
def echoing(folder: Path) -> Iterator[str]:
    """Run the echo; yield its address."""
    port = free_port()
    command = ["-m", "uvicorn", "loopback.echo:app", "--port", str(port)]
    quiet = ["--log-level", "warning", "--no-access-log"]
    with process([*command, *quiet], {}, folder / "echo.log") as running:
        ready(f"http://127.0.0.1:{port}", running)
        yield f"http://127.0.0.1:{port}"


@dataclass(frozen=True)
class Sink:
    """Ask the sink what arrived."""

    url: str
    running: subprocess.Popen[str]

    def ask(self, what: str = "count") -> dict[str, Any]:
        """Return the count of what arrived (`all`: also each number and the last instant)."""
        assert self.running.stdin is not None
        assert self.running.stdout is not None
        self.running.stdin.write(what + "\n")
        self.running.stdin.flush()
        told: dict[str, Any] = json.loads(self.running.stdout.readline())
        return told


@contextmanager
def sinking(folder: Path) -> Iterator[Sink]:
    """Run a sink."""
    with process(["-m", "loopback.sink"], {}, folder / "sink.log") as running:
        assert running.stdout is not None
        port = int(running.stdout.readline())
        yield Sink(f"http://127.0.0.1:{port}/fhir", running)


def await_all(sink: Sink, expected: int) -> None:
    """Wait until so many have arrived, or nothing has for a long while."""
    count, moved = -1, time.monotonic()
    while count < expected and time.monotonic() - moved < PATIENCE:
        found = sink.ask()["count"]
        if found != count:
            count, moved = found, time.monotonic()
        time.sleep(0.2)


@dataclass(frozen=True)
class Engine:
    """Hold a running engine: its address and the process that was started, the server."""

    url: str
    processes: tuple[subprocess.Popen[str], ...]

    def pids(self) -> list[int]:
        """Return every process of it: the one that was started, and all that came of it."""
        return [each for running in self.processes for each in _family(running.pid)]

    def memory(self) -> int:
        """Return the bytes that it holds in memory; what its processes share counts once."""
        return sum(map(_resident, self.pids()))


def _family(pid: int) -> list[int]:
    """Return a process, those that it has started, and those that they have."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:  # it may just have ended
        return [pid]
    return [pid, *(each for child in text.split() for each in _family(int(child)))]


def _resident(pid: int) -> int:
    """Return the bytes of a process in memory, and its share of those that several have."""
    with suppress(OSError):  # it may just have ended
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


@contextmanager
def engine(
    folder: Path,
    store: str,
    sink: str,
    *,
    deliver: bool = True,
    count: int | None = None,
    more: Mapping[str, str] | None = None,
    profile: Path | None = None,
) -> Iterator[Engine]:
    """Run `carelane serve` on a record; yield once it is ready.

    `count` processes take in, by default as many as it chooses itself; a `profile` is of one only.
    """
    port = free_port()
    config = _config(folder, deliver=deliver)
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    environ = {
        "CARELANE_STORE": store,
        "CARELANE_PORT": str(port),
        "MERCY_TOKEN_SHA256": digest,
        "HUB_TOKEN_SHA256": hashlib.sha256(b"hub").hexdigest(),
        "MERCY_OUTBOUND_TOKEN": "to-mercy",
        "HUB_OUTBOUND_TOKEN": "to-hub",
        "HUB_URL": sink,
        "MERCY_URL": sink,
        **(more or {}),
    }
    command = ["-m", "engine", "serve", "--config", str(config)]
    if profile is not None:
        command = ["-m", "cProfile", "-o", str(profile), *command]
    if not deliver:
        command.append("--no-deliver")
    if count is not None or profile is not None:
        command += ["--processes", str(count or 1)]
    with process(command, environ, folder / "engine.log") as running:
        url = f"http://127.0.0.1:{port}"
        ready(url, running)
        yield Engine(url, (running,))


def _config(folder: Path, *, deliver: bool) -> Path:
    """Return the config of this repository, with a hub that takes many requests at once.

    Where nothing is delivered, its outbox has room for all that is accepted meanwhile.
    """
    root = HERE.parent
    for name in ("mappings", "profiles", "rules"):
        if (root / name).is_dir() and not (folder / name).exists():
            (folder / name).symlink_to(root / name)
    text = (root / "config.yaml").read_text()
    path = folder / "config.yaml"
    text = text.replace("dialect: hrex", f"dialect: hrex\n    concurrency: {AT_ONCE}")
    path.write_text(text if deliver else f"{text}\nlimits: {{outbox: {OUTBOX}}}\n")
    return path


def settle(engine: Engine) -> None:
    """Send who is who and the consents of everyone."""
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/fhir+json"}
    for body in settings():
        told = httpx.post(f"{engine.url}/fhir", content=body, headers=headers, timeout=120)
        wrong = [
            entry["response"]["status"]
            for entry in told.json().get("entry", ())
            if not entry["response"]["status"].startswith("2")
        ]
        if told.status_code != 200 or wrong:
            raise RuntimeError(f"the setting was refused: {told.status_code} {wrong[:3]}")


def load(
    url: str, kind: str, seconds: float, folder: Path, *, connections: int = 16, start: int = 0
) -> dict[str, Any]:
    """Run the client; return what it says."""
    given = {
        "url": f"{url}/fhir",
        "kind": kind,
        "seconds": seconds,
        "connections": connections,
        "token": TOKEN,
        "start": start,
    }
    command = ["-m", "loopback.load", json.dumps(given)]
    with process(command, {}, folder / "load.log") as running:
        said, _ = running.communicate(timeout=seconds + 120)
    told: dict[str, Any] = json.loads(said)
    return told
