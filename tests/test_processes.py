"""The processes that one server forks: kept running, led by a leash, ended together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")

_PROGRAM = """
import asyncio, os, signal, sys, time
from pathlib import Path
from engine.clock import SystemClock
from engine.server.pipes import Leash
from engine.server.processes import Processes

folder, patience = Path(sys.argv[1]), float(sys.argv[2])
leash = Leash()

def note(name):
    with (folder / name).open("a") as file:
        file.write(f"{os.getpid()}\\n")

def quiet():
    async def led():
        stopping = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
        with leash.worn():
            note("quiet")
            await stopping.wait()
            note("ended")
    asyncio.run(led())

def brief():
    note("brief")
    raise ValueError("as ever")

def deaf():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    note("deaf")
    time.sleep(60)

roles = {run.__name__: run for run in (quiet, brief, deaf) if run.__name__ in sys.argv[3:]}
failed = lambda name: note("failed")
Processes(roles, leash, SystemClock(), failed=failed, first=0.01, patience=patience).run()
note("over")
"""


@contextmanager
def _running(folder: Path, *roles: str, patience: float = 20) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", _PROGRAM, str(folder), str(patience), *roles]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _until(holds: Callable[[], bool]) -> None:
    limit = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < limit, "it did not happen in time"
        time.sleep(0.005)


def _noted(folder: Path, name: str) -> list[int]:
    path = folder / name
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def _gone(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def test_what_ends_by_itself_is_started_again(tmp_path: Path) -> None:
    """Whatever ends a process, another follows, and it is said which; the others stay."""
    with _running(tmp_path, "brief", "quiet") as process:
        _until(lambda: len(_noted(tmp_path, "brief")) >= 3 and bool(_noted(tmp_path, "quiet")))
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert len(set(_noted(tmp_path, "brief"))) == len(_noted(tmp_path, "brief"))
    assert len(_noted(tmp_path, "quiet")) == 1
    assert len(_noted(tmp_path, "failed")) >= 2
    assert "as ever" not in (tmp_path / "log").read_text()


def test_all_are_told_to_stop_and_waited_for(tmp_path: Path) -> None:
    """SIGINT to the one that looks after all lets each wind down before it ends itself."""
    with _running(tmp_path, "quiet") as process:
        _until(lambda: bool(_noted(tmp_path, "quiet")))
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    assert _noted(tmp_path, "ended") == _noted(tmp_path, "quiet")
    assert _noted(tmp_path, "over")


def test_what_does_not_wind_down_is_killed(tmp_path: Path) -> None:
    """A process that ignores its end is killed after a while; the server ends."""
    with _running(tmp_path, "deaf", patience=0.1) as process:
        _until(lambda: bool(_noted(tmp_path, "deaf")))
        process.terminate()
        assert process.wait(30) == 0
    assert _gone(_noted(tmp_path, "deaf")[0])


def test_none_outlives_the_one_that_looks_after_all(tmp_path: Path) -> None:
    """Killed without warning, it takes its processes along, and they wind down."""
    with _running(tmp_path, "quiet") as process:
        _until(lambda: bool(_noted(tmp_path, "quiet")))
        process.kill()
        _until(lambda: _noted(tmp_path, "ended") == _noted(tmp_path, "quiet"))
        _until(lambda: _gone(_noted(tmp_path, "quiet")[0]))
