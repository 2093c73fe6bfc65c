"""Payloads at rest: nothing readable on disk, keys that rotate, and clear words without a key."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from desk import Desk, accept
from sqlalchemy import select

from engine.errors import StoreError
from engine.rekeying import rekey
from engine.store import NewDelivery, Store, Transaction, UnitRow, Vault
from engine.store.rows import SubscriptionRow
from engine.store.upkeep import SEALED
from engine.store.vault import new_key, sealed_with

pytest.importorskip("cryptography")
SECRET = b'{"note": "nobody may read this"}'
KEYS = {"k1": new_key(), "k2": new_key()}


@contextmanager
def opened(url: str, active: str | None, *names: str) -> Iterator[Desk]:
    """Open the record with some of the keys."""
    with Store.open(url, vault=Vault({name: KEYS[name] for name in names}, active)) as store:
        yield Desk(store)


def fill(tx: Transaction) -> tuple[str, str]:
    """Store one payload of each kind; return the ids of message and unit."""
    message, unit = accept(tx, body=SECRET, status=201, response=SECRET), tx.ids.new()
    tx.resources.put("CareTeam", "t", SECRET, member="m", system="mercy")
    tx.units.add([UnitRow(unit, message, 0, "CareTeam", "routed", "m", "CareTeam/t", 1)])
    body = {"decision": "permit", "why": SECRET.decode()}
    tx.decisions.add(unit, "permit", code=None, body=body, at=tx.now)
    tx.deliveries.enqueue(NewDelivery(message, unit, "hub", "m", "CareTeam", SECRET))
    known = (tx.now, tx.now, None, 0, 0, None, message, unit, SECRET, SECRET)
    tx.subscriptions.add(SubscriptionRow("s", "hub", "requested", "urn:topic", 1, *known))
    return message, unit


def payloads(tx: Transaction, message: str, unit: str) -> set[bytes]:
    """Return every payload as the engine reads it."""
    row, current = tx.messages.get(message), tx.resources.get("CareTeam", "t")
    assert row is not None
    assert current is not None
    (decision,), (delivery,) = tx.decisions.of_unit(unit), tx.deliveries.of_unit(unit)
    versions = {version.body for version in tx.resources.versions("CareTeam", "t")}
    why = str(decision.body["why"]).encode()
    return {row.body or b"", row.response or b"", current.body, delivery.body, why, *versions}


def stored(tx: Transaction) -> list[bytes]:
    """Return every payload as it stands in the database."""
    columns = [column for kind in SEALED for column in kind.payloads]
    found: list[Any] = []
    for column in columns:
        found += [row[0] for row in tx.execute(select(column)) if row[0] is not None]
    return [value.encode() if isinstance(value, str) else bytes(value) for value in found]


def test_nothing_readable_is_stored(store_url: str) -> None:
    """With a key every payload is sealed at rest and reads as it was."""
    with opened(store_url, "k1", "k1") as desk:
        message, unit = desk.write(fill)
        assert desk.store.read(lambda tx: payloads(tx, message, unit)) == {SECRET}
        at_rest = desk.store.read(stored)
    assert len(at_rest) == 8
    assert {sealed_with(payload) for payload in at_rest} == {"k1"}
    assert not any(b"nobody" in payload for payload in at_rest)


def test_keys_rotate(store_url: str) -> None:
    """Plain and old payloads are sealed with the new key; then the old key is needed no more."""
    with opened(store_url, None) as desk:
        message, unit = desk.write(fill)
    with opened(store_url, "k1", "k1") as desk:
        assert desk.store.read(lambda tx: payloads(tx, message, unit)) == {SECRET}
        assert set(rekey(desk.store).values()) == {1}
    with opened(store_url, "k2", "k1", "k2") as desk:
        assert set(rekey(desk.store).values()) == {1}
        assert set(rekey(desk.store).values()) == {0}
    with opened(store_url, "k2", "k2") as desk:
        assert desk.store.read(lambda tx: payloads(tx, message, unit)) == {SECRET}
        assert {sealed_with(payload) for payload in desk.store.read(stored)} == {"k2"}
        assert desk.store.read(lambda tx: tx.audit.verify()) == []


def test_an_absent_key_is_told_by_name(store_url: str) -> None:
    """Without the key, reading fails with its name; with no key given, writing fails too."""
    with opened(store_url, "k1", "k1") as desk:
        message, _ = desk.write(fill)
    for active, names in ((None, ()), ("k2", ("k2",))):
        with (
            opened(store_url, active, *names) as desk,
            pytest.raises(StoreError, match="the key 'k1', which was not given"),
        ):
            desk.store.read(lambda tx: tx.messages.get(message))
    with opened(store_url, "k1") as desk, pytest.raises(StoreError, match="'k1'"):
        desk.write(fill)


def test_a_wrong_key_is_told() -> None:
    """A payload that was sealed with another key of the same name does not open."""
    sealed = Vault(KEYS, "k1").seal(SECRET, "message 1")
    wrong = Vault({"k1": KEYS["k2"]}, "k1")
    with pytest.raises(StoreError, match="does not open with the key 'k1'"):
        wrong.open(sealed, "message 1")


def test_a_payload_does_not_open_in_anothers_place() -> None:
    """Who can write the database cannot pass one record's payload off as another's."""
    vault = Vault(KEYS, "k1")
    assert vault.open(vault.seal(SECRET, "message 1"), "message 1") == SECRET
    with pytest.raises(StoreError, match="does not open"):
        vault.open(vault.seal(SECRET, "message 1"), "message 2")


@pytest.mark.parametrize("text", ["", "c2hvcnQ=", "not base64"])
def test_a_key_of_the_wrong_size_is_refused(text: str) -> None:
    """Keys are 32 bytes in base64 and nothing else."""
    with pytest.raises((StoreError, ValueError)):
        Vault({"k1": text}, "k1")
