"""Several processes write to one SQLite record: each in its turn, and none waits for ever."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from desk import accept

from engine.store import Store
from engine.store.turnstile import Turnstile

_OTHER = """
import sys
from engine.store.turnstile import Turnstile
with Turnstile(sys.argv[1]).turn():
    print("has it", flush=True)
    sys.stdin.readline()
print("gave it", flush=True)
sys.stdin.readline()
"""


@contextmanager
def _other(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a process that takes the turn and keeps it until a line is written to it."""
    command = [sys.executable, "-c", _OTHER, str(path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "has it\n"
        yield running
        running.kill()


def test_one_has_the_turn_at_a_time(tmp_path: Path) -> None:
    """A process waits for the turn of another, and gets it when that one passes it on."""
    with _other(tmp_path / "x.db") as other:
        mine = Turnstile(str(tmp_path / "x.db"), patience=0.05)
        started = time.monotonic()
        with mine.turn():
            assert time.monotonic() - started >= 0.05
        assert other.stdin is not None
        assert other.stdout is not None
        other.stdin.write("\n")
        other.stdin.flush()
        assert other.stdout.readline() == "gave it\n"
        patient = Turnstile(str(tmp_path / "x.db"), patience=60)
        started = time.monotonic()
        with patient.turn():
            assert time.monotonic() - started < 30


def test_killed_process_leaves_its_turn(tmp_path: Path) -> None:
    """Whoever dies in its turn holds nobody up."""
    with _other(tmp_path / "x.db") as other:
        other.kill()
        other.wait(30)
        started = time.monotonic()
        with Turnstile(str(tmp_path / "x.db"), patience=60).turn():
            assert time.monotonic() - started < 30


def test_record_is_written_without_turns_where_there_is_no_file(tmp_path: Path) -> None:
    """Where the turnstile's file cannot be made, SQLite's own locks must do."""
    (tmp_path / "x.db-turn").mkdir()
    with Store.open(f"sqlite:///{tmp_path}/x.db") as store:
        store.write(accept).result(30)
        assert len(store.read(lambda tx: tx.messages.search(limit=10))) == 1
