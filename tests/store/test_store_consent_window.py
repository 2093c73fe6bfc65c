"""No decision is durable on a Consent that somebody else has changed before its commit."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from itertools import count

import pytest
from desk import Desk

from engine.errors import StoreError
from engine.store import Store, Transaction
from engine.testing import ManualClock

ACTIVE, REVOKED = b"active", b"revoked"
BOTH_WRITE = pytest.mark.parametrize("store_url", ["postgresql"], indirect=True)
"""SQLite has one writer at a time: nobody comes between."""


@pytest.fixture
def other(store_url: str, store: Store, clock: ManualClock) -> Iterator[Desk]:
    """Return a second store on the same record, as another process has it."""
    with Store.open(store_url, clock=clock) as opened:
        yield Desk(opened)


def put(tx: Transaction, id: str, member: str, body: bytes) -> None:
    """Store a Consent, and a record of it in the chain."""
    tx.resources.put("Consent", id, body, member=member, system="mercy")
    tx.audit.append("test.put", {"consent": id, "now": body.decode()})


def decided(tx: Transaction, member: str = "m1") -> bytes:
    """Decide as the judge does: on the member's Consents, with a record in the chain."""
    bodies = [row.body for row in tx.resources.consents([member])]
    said = b"+".join(bodies)
    tx.audit.append("test.decided", {"on": said.decode()})
    return said


@BOTH_WRITE
@pytest.mark.parametrize("crowd", [1, 4, 5])
def test_no_number_of_other_writers_opens_the_window(desk: Desk, other: Desk, crowd: int) -> None:
    """However often others wrote in between, a decision knows the revocation before it."""
    desk.write(lambda tx: put(tx, "c", "m1", ACTIVE))
    tries = count(1)

    def decide(tx: Transaction) -> bytes:
        said, number = decided(tx), next(tries)
        if number < crowd:
            other.write(lambda tx: put(tx, f"other-{number}", "m2", ACTIVE))
        elif number == crowd:
            other.write(lambda tx: put(tx, "c", "m1", REVOKED))
        return said

    assert desk.write(decide) == REVOKED
    records = desk.store.read(lambda tx: list(tx.audit.records()))
    assert [r.body for r in records if r.kind == "test.decided"] == ['{"on":"revoked"}']


@BOTH_WRITE
def test_other_members_stand_in_nobodys_way(desk: Desk, other: Desk) -> None:
    """Work ends although another process writes consents of other members all the time."""
    desk.write(lambda tx: put(tx, "c", "m1", ACTIVE))
    numbers = count(1)

    def decide(tx: Transaction) -> bytes:
        said = decided(tx)
        other.write(lambda tx: put(tx, f"other-{next(numbers)}", "m2", ACTIVE))
        return said

    assert desk.write(decide) == ACTIVE


@BOTH_WRITE
def test_own_consents_do_not_count_as_others(desk: Desk, other: Desk) -> None:
    """A message that brings the Consent which it rests on gets through beside other writers."""
    numbers = count(1)

    def accept(tx: Transaction) -> bytes:
        before = decided(tx)
        put(tx, "c", "m1", ACTIVE)
        put(tx, "c", "m1", ACTIVE)
        other.write(lambda tx: put(tx, f"other-{next(numbers)}", "m2", ACTIVE))
        return before + b"," + decided(tx)

    assert desk.write(accept) == b",active"


@BOTH_WRITE
def test_nothing_stale_is_remembered_after_a_crowd(desk: Desk, other: Desk) -> None:
    """After work that others overtook again and again, their changes are all seen."""
    desk.write(lambda tx: put(tx, "c", "m1", ACTIVE))
    assert desk.write(decided) == ACTIVE
    numbers = count(1)

    def crowded(tx: Transaction) -> None:
        decided(tx, "m3")
        number = next(numbers)
        body = REVOKED if number == 5 else ACTIVE
        if number <= 5:
            other.write(lambda tx: put(tx, "c", "m1", body))

    desk.write(crowded)
    assert desk.write(decided) == REVOKED


@BOTH_WRITE
def test_who_is_always_overtaken_is_told(desk: Desk, other: Desk) -> None:
    """A decision whose own consent never stands still is not taken, and the caller learns it."""
    desk.write(lambda tx: put(tx, "c", "m1", ACTIVE))

    def decide(tx: Transaction) -> bytes:
        said = decided(tx)
        other.write(lambda tx: put(tx, "c", "m1", ACTIVE))
        return said

    with pytest.raises(StoreError, match="again and again"):
        desk.write(decide)


def test_racing_stores_never_decide_on_what_was_revoked(desk: Desk, other: Desk) -> None:
    """Two stores race, one revoking and giving, one deciding: each decision fits the chain."""
    desk.write(lambda tx: put(tx, "c", "m1", ACTIVE))

    def toggle() -> None:
        for number in range(100):
            body = (ACTIVE, REVOKED)[number % 2]
            other.write(partial(put, id="c", member="m1", body=body))

    toggling = threading.Thread(target=toggle)
    toggling.start()
    for _ in range(150):
        with suppress(StoreError):  # overtaken again and again: nothing was decided
            desk.write(decided)
    toggling.join()
    desk.write(decided)
    stands, rested = "", 0
    for record in desk.store.read(lambda tx: list(tx.audit.records())):
        if record.kind == "test.put":
            stands = "active" if '"active"' in record.body else "revoked"
        elif record.kind == "test.decided":
            assert f'"{stands}"' in record.body, f"record {record.sequence} rests on what was not"
            rested += 1
    assert rested > 1
