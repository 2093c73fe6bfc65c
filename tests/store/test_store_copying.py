"""Backups: whole, consistent while others write, and restored on either database."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Event

import pytest
from desk import Desk, enqueue
from typer.testing import CliRunner

from engine import retention
from engine.cli import build
from engine.config.operations import Retention
from engine.errors import StoreError
from engine.store import Store, Transaction
from engine.store.copying import copy_in, copy_out
from engine.testing import ManualClock
from engine.transform.crosswalk import Key


def fill(tx: Transaction) -> None:
    """Store a little of everything."""
    enqueue(tx, "m1", "hub")
    tx.resources.put("CareTeam", "t", b"{}", member="m1", system="mercy")
    keys = {Key("", "identifier", f"Patient|http://x.example|{n}"): n for n in ("a", "b")}
    tx.crosswalk.link(keys, source="mercy")
    tx.crosswalk.merge("b", "a")
    tx.timers.set("k", "kind", tx.now)


def fill_more(tx: Transaction) -> None:
    """Store a delivery of somebody new."""
    enqueue(tx, tx.ids.new(), "hub")


def test_a_copy_holds_everything(desk: Desk, store_url: str, tmp_path: Path) -> None:
    """What was on record when the copy was made is in it, and its chain is whole."""
    desk.write(fill)
    copy_out(store_url, tmp_path / "copy.db")
    desk.enqueue("later")
    with Store.open(f"sqlite:///{tmp_path}/copy.db") as copy:
        rows = copy.read(lambda tx: tx.deliveries.search())
        assert [row.member for row in rows] == ["m1"]
        assert copy.read(lambda tx: tx.audit.verify()) == []
        assert copy.read(lambda tx: tx.crosswalk.current("a")) == "b"
        assert copy.read(lambda tx: tx.timers.get("k")) is not None


def test_a_copy_is_restored_on_either_database(
    empty_url: str, tmp_path: Path, store_url: str, desk: Desk
) -> None:
    """A restored record goes on where the copy ends: messages are numbered on, chains go on."""
    desk.write(fill)
    copy_out(store_url, tmp_path / "copy.db")
    copy_in(tmp_path / "copy.db", empty_url)
    with Store.open(empty_url) as store:
        restored = Desk(store)
        before = restored.store.read(lambda tx: tx.audit.ends().last)
        row = restored.enqueue("m1")
        assert row.sequence == 2
        assert restored.store.read(lambda tx: tx.audit.ends().last) > before
        assert restored.store.read(lambda tx: tx.audit.verify()) == []
        assert len(restored.store.read(lambda tx: tx.messages.search())) == 2


def test_a_copy_is_made_while_another_process_writes(
    desk: Desk, store_url: str, tmp_path: Path
) -> None:
    """However much is written meanwhile, the copy comes to an end, and stands at one moment."""
    desk.write(lambda tx: tx.resources.put("Goal", "g", b"x" * 2**24, member="m", system="s"))
    written, done = Event(), Event()

    def write() -> None:
        with Store.open(store_url) as other:
            for _ in range(2000):
                if done.is_set():
                    return
                other.write(fill_more).result(30)
                written.set()

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        written.wait(30)
        try:
            copy_out(store_url, tmp_path / "copy.db")
            going_on = not writing.done()
        finally:
            done.set()
        writing.result(30)
    assert going_on
    with Store.open(f"sqlite:///{tmp_path}/copy.db") as copy:
        assert copy.read(lambda tx: tx.audit.verify()) == []


def test_a_copy_and_a_record_are_for_their_owner_alone(
    desk: Desk, store_url: str, tmp_path: Path
) -> None:
    """Nobody else on the machine may read what is begun here, whatever the process allows."""
    desk.write(fill)
    before = os.umask(0)
    try:
        copy_out(store_url, tmp_path / "copy.db")
        copy_in(tmp_path / "copy.db", f"sqlite:///{tmp_path}/restored.db")
        with Store.open(f"sqlite:///{tmp_path}/fresh.db") as fresh:
            fresh.write(fill).result(30)
            found = [*tmp_path.glob("copy.db*"), *tmp_path.glob("[rf]*.db*")]
            assert {path.stat().st_mode & 0o777 for path in found} == {0o600}
    finally:
        os.umask(before)
    assert [path.name for path in tmp_path.glob("copy.db*")] == ["copy.db"]


def test_a_record_that_a_server_has_begun_is_filled(
    desk: Desk, store_url: str, tmp_path: Path, empty_url: str
) -> None:
    """What a server puts down as it starts gives way to the copy."""
    desk.write(fill)
    desk.write(retention.schedule)
    copy_out(store_url, tmp_path / "copy.db")
    with Store.open(empty_url, clock=desk.store.clock) as begun:
        begun.write(retention.schedule).result(30)
        begun.write(lambda tx: tx.timers.set("other", "kind", tx.now)).result(30)
        begun.write(lambda tx: tx.audit.append("timer.done", {"key": "other"})).result(30)
    copy_in(tmp_path / "copy.db", empty_url)
    with Store.open(empty_url) as filled:
        assert filled.read(lambda tx: tx.timers.get("k")) is not None
        assert filled.read(lambda tx: tx.timers.get("other")) is None


def test_a_restored_file_shrinks(tmp_path: Path, clock: ManualClock) -> None:
    """A record that was restored gives room back to the disk like any other."""
    with Store.open(f"sqlite:///{tmp_path}/old.db", clock=clock) as old:
        for _ in range(20):
            Desk(old).accept(body=b"x" * 200_000)
    copy_out(f"sqlite:///{tmp_path}/old.db", tmp_path / "copy.db")
    copy_in(tmp_path / "copy.db", f"sqlite:///{tmp_path}/new.db")
    clock.advance(10 * retention.DAY)
    with Store.open(f"sqlite:///{tmp_path}/new.db", clock=clock) as new:
        assert retention.prune(new, Retention(messages=1)).counts["messages"] == 20
    assert (tmp_path / "new.db").stat().st_size < 1_000_000


def test_what_is_no_record_is_said(tmp_path: Path, empty_url: str) -> None:
    """A file of something else is neither copied nor restored."""
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE something (else_ TEXT)")
    with pytest.raises(StoreError, match="no record of carelane"):
        copy_out(f"sqlite:///{other}", tmp_path / "copy.db")
    with pytest.raises(StoreError, match="no record of carelane"):
        copy_in(other, empty_url)
    assert not (tmp_path / "copy.db").exists()


def test_nothing_is_overwritten(desk: Desk, store_url: str, tmp_path: Path) -> None:
    """Neither a file that exists nor a record that holds something is touched."""
    desk.write(lambda tx: tx.audit.append("crosswalk.linked", {"links": 1}))
    copy_out(store_url, tmp_path / "copy.db")
    with pytest.raises(StoreError, match="never overwrites"):
        copy_out(store_url, tmp_path / "copy.db")
    with pytest.raises(StoreError, match="record at this address already"):
        copy_in(tmp_path / "copy.db", store_url)
    with pytest.raises(StoreError, match="no such file"):
        copy_in(tmp_path / "other.db", store_url)


def test_the_commands_copy_and_restore(desk: Desk, store_url: str, tmp_path: Path) -> None:
    """`carelane backup` says what to note, `carelane restore` fills an empty record."""
    desk.write(fill)
    copy, fresh = str(tmp_path / "copy.db"), f"sqlite:///{tmp_path}/fresh.db"
    run = CliRunner()
    made = run.invoke(build("backup"), ["backup", copy, "--store", store_url])
    assert made.exit_code == 0, made.output
    assert "ledger verify --known" in made.output
    done = run.invoke(build("restore"), ["restore", copy, "--store", fresh])
    assert done.exit_code == 0, done.output
    again = run.invoke(build("restore"), ["restore", copy, "--store", fresh])
    assert again.exit_code == 1
    assert "already" in again.output


def test_a_record_begun_through_a_link_is_for_its_owner_alone(tmp_path: Path) -> None:
    """What counts is the file that the link leads to, also where that is not there yet."""
    (tmp_path / "link.db").symlink_to(tmp_path / "record.db")
    Store.open(f"sqlite:///{tmp_path}/link.db").close()
    assert (tmp_path / "record.db").stat().st_mode & 0o777 == 0o600


def test_a_record_in_use_keeps_its_locks_where_it_is_opened_again(tmp_path: Path) -> None:
    """Whoever closes last elsewhere may not take the log away from under this process."""
    path = tmp_path / "record.db"
    with Store.open(f"sqlite:///{path}") as store:
        store.write(fill).result(30)
        Store.open(f"sqlite:///{path}").close()
        code = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('PRAGMA user_version')"
        subprocess.run([sys.executable, "-c", code, str(path)], check=True, timeout=60)
        store.write(lambda tx: tx.audit.append("still.here")).result(30)
    with Store.open(f"sqlite:///{path}") as store:
        assert store.read(lambda tx: tx.audit.of_kind("still.here"))
