"""Backups: whole, consistent while others write, and restored on either database."""

from __future__ import annotations

from pathlib import Path

import pytest
from desk import Desk, enqueue
from typer.testing import CliRunner

from engine.cli import build
from engine.errors import StoreError
from engine.store import Store, Transaction
from engine.store.copying import copy_in, copy_out
from engine.transform.crosswalk import Key


def fill(tx: Transaction) -> None:
    """Store a little of everything."""
    enqueue(tx, "m1", "hub")
    tx.resources.put("CareTeam", "t", b"{}", member="m1", system="mercy")
    keys = {Key("", "identifier", f"Patient|http://x.example|{n}"): n for n in ("a", "b")}
    tx.crosswalk.link(keys, source="mercy")
    tx.crosswalk.merge("b", "a")
    tx.timers.set("k", "kind", tx.now)


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


def test_nothing_is_overwritten(desk: Desk, store_url: str, tmp_path: Path) -> None:
    """Neither a file that exists nor a record that holds something is touched."""
    desk.write(fill)
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
