"""A disk that is full or may not be written: nothing kept is lost, and the reason is said."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from engine.store import Store

FULL = """
import resource, sys
from pathlib import Path
from engine.errors import StoreError
from engine.message import Message
from engine.store import Store

def add(number):
    def work(tx):
        id = f"m{number:05}"
        tx.messages.add(Message(id, "mercy", "bundle", id, id, tx.now, b"x" * 20_000))
        tx.audit.append("message.accepted", {}, message=id)
    return work

with Store.open(sys.argv[1]) as store:
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    kept, refused = [], 0
    for number in range(60):
        try:
            store.write(add(number)).result()
            kept.append(f"m{number:05}")
        except StoreError as error:
            refused += 1
            assert "nothing of this was written" in str(error), error
    assert kept and refused, (len(kept), refused)
    assert store.read(lambda tx: all(tx.messages.get(id) for id in kept))
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    store.write(add(1000)).result()
    print(*kept, "m01000")
"""

READ_ONLY = """
import os, sys
from engine.errors import StoreError
from engine.store import Store
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    Store.open(sys.argv[1])
except StoreError as error:
    print(error)
"""


def ran(code: str, url: str) -> str:
    """Run code in a process of its own; return what it said."""
    done = subprocess.run(
        [sys.executable, "-c", code, url], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_full_disk_refuses_and_loses_nothing(tmp_path: Path) -> None:
    """When no byte more may be written, writes fail, what was kept stays, and later all goes on."""
    url = f"sqlite:///{tmp_path / 'record.db'}"
    kept = ran(FULL, url).split()
    with Store.open(url) as store:
        assert store.read(lambda tx: [id for id in kept if tx.messages.get(id) is None]) == []
        assert len(store.read(lambda tx: tx.messages.search(limit=1000))) == len(kept)
        assert store.read(lambda tx: tx.audit.verify()) == []


def test_a_record_that_may_not_be_written_is_refused_at_the_door(tmp_path: Path) -> None:
    """Opening a read-only record fails with a reason, and changes nothing."""
    path = tmp_path / "record.db"
    Store.open(f"sqlite:///{path}").close()
    before = path.read_bytes()
    for folder in (tmp_path, *list(tmp_path.parents)[:3]):
        if folder.owner() == Path.home().owner() and folder != Path("/tmp"):
            folder.chmod(0o555 if folder == tmp_path else 0o755)
    path.chmod(0o444)
    try:
        said = ran(READ_ONLY, f"sqlite:///{path}")
    finally:
        tmp_path.chmod(0o755)
    if not said:
        pytest.skip("this user may write where nobody may")
    assert said.startswith("the store cannot be opened")
    assert path.read_bytes() == before
