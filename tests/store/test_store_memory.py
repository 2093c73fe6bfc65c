"""What the writer remembers is never older than what any process has committed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from desk import Desk

from engine.store import Store, Transaction
from engine.testing import ManualClock
from engine.transform.crosswalk import Key

MRN = Key("", "identifier", "Patient|http://mercy.example/mrn|A1")
REFERENCE = Key("mercy", "reference", "Patient/1")


@pytest.fixture
def other(store_url: str, store: Store, clock: ManualClock) -> Iterator[Desk]:
    """Return a second store on the same record, as another process has it."""
    with Store.open(store_url, clock=clock) as opened:
        yield Desk(opened)


def put(tx: Transaction, id: str, member: str, body: bytes) -> None:
    """Store a Consent, and a record of it in the chain."""
    tx.resources.put("Consent", id, body, member=member, system="mercy")
    tx.audit.append("test.put")


def put_goal(tx: Transaction, id: str) -> None:
    """Store what nobody remembers, and a record of it in the chain."""
    tx.resources.put("Goal", id, b"{}", member=None, system="mercy")
    tx.audit.append("test.put")


def bodies(desk: Desk, member: str) -> list[bytes]:
    """Return a member's consents as a decision reads them."""
    return desk.write(lambda tx: [row.body for row in tx.resources.consents([member])])


def test_a_consent_of_another_process_is_seen(desk: Desk, other: Desk) -> None:
    """A consent that was read before is read anew once another process has changed it."""
    desk.write(lambda tx: put(tx, "c", "m1", b"1"))
    assert bodies(desk, "m1") == bodies(desk, "m1") == [b"1"]
    other.write(lambda tx: put(tx, "c", "m1", b"2"))
    assert bodies(desk, "m1") == [b"2"]
    assert bodies(other, "m1") == [b"2"]


def test_a_consent_that_changes_its_member_leaves_the_old_one(desk: Desk) -> None:
    """Both members are read anew where a consent goes from one to the other."""
    desk.write(lambda tx: put(tx, "c", "m1", b"1"))
    assert (bodies(desk, "m1"), bodies(desk, "m2")) == ([b"1"], [])
    desk.write(lambda tx: put(tx, "c", "m2", b"2"))
    assert (bodies(desk, "m1"), bodies(desk, "m2")) == ([], [b"2"])


def test_what_was_taken_back_is_not_remembered(desk: Desk) -> None:
    """A transaction that fails leaves nothing in memory of what it wrote or read of it."""
    desk.write(lambda tx: put(tx, "c", "m1", b"1"))

    def fail(tx: Transaction) -> None:
        put(tx, "c", "m1", b"2")
        assert [row.body for row in tx.resources.consents(["m1"])] == [b"2"]
        raise LookupError("on purpose")

    with pytest.raises(LookupError, match="on purpose"):
        desk.write(fail)
    assert bodies(desk, "m1") == [b"1"]


def test_an_actor_that_arrives_is_seen(desk: Desk, other: Desk) -> None:
    """That there was no such record is not remembered longer than it is true."""
    assert desk.write(lambda tx: tx.resources.get("Organization", "o")) is None
    other.write(
        lambda tx: tx.resources.put("Organization", "o", b"{}", member=None, system="mercy")
    )
    found = desk.write(lambda tx: tx.resources.get("Organization", "o"))
    assert found is not None


def test_a_link_of_another_process_is_seen(desk: Desk, other: Desk) -> None:
    """Keys that another process adds to an entity are among those that are known."""
    desk.write(lambda tx: tx.crosswalk.link({MRN: "e1"}, source="mercy"))
    known = desk.write(lambda tx: tx.crosswalk.known(["e1"]))
    assert known == {"e1": [MRN]}
    other.write(lambda tx: tx.crosswalk.link({REFERENCE: "e1"}, source="mercy"))
    known = desk.write(lambda tx: tx.crosswalk.known(["e1"]))
    assert set(known["e1"]) == {MRN, REFERENCE}
    assert desk.write(lambda tx: tx.crosswalk.resolve([REFERENCE])) == {REFERENCE: "e1"}


def test_a_merger_of_another_process_is_seen(desk: Desk, other: Desk) -> None:
    """Once two entities are one, every key of both means the one that stayed."""
    links = {MRN: "e1", REFERENCE: "e2"}
    desk.write(lambda tx: tx.crosswalk.link(links, source="mercy"))
    assert desk.write(lambda tx: tx.crosswalk.resolve(links)) == links
    assert not desk.write(lambda tx: tx.crosswalk.has_mergers())
    other.write(lambda tx: tx.crosswalk.merge("e1", "e2"))
    assert desk.write(lambda tx: tx.crosswalk.resolve(links)) == dict.fromkeys(links, "e1")
    assert desk.write(lambda tx: tx.crosswalk.has_mergers())
    assert desk.write(lambda tx: tx.crosswalk.same("e2")) == ("e1", "e2")


@pytest.mark.parametrize("store_url", ["postgresql"], indirect=True)
def test_work_that_was_overtaken_runs_again(desk: Desk, other: Desk) -> None:
    """A decision whose consent is revoked before it is durable is taken again, knowing it."""
    desk.write(lambda tx: put(tx, "c", "m1", b"active"))
    seen: list[bytes] = []

    def decide(tx: Transaction) -> bytes:
        (row,) = tx.resources.consents(["m1"])
        seen.append(row.body)
        if len(seen) == 1:
            other.write(lambda tx: put(tx, "c", "m1", b"revoked"))
        tx.audit.append("test.decided", {"on": row.body.decode()})
        return row.body

    assert desk.write(decide) == b"revoked"
    assert seen == [b"active", b"revoked"]
    records = desk.store.read(lambda tx: list(tx.audit.records()))
    assert [r.body for r in records if r.kind == "test.decided"] == ['{"on":"revoked"}']


def test_what_is_worked_out_once_is_worked_out_again_after_a_change(desk: Desk) -> None:
    """What was derived from a record is forgotten with the record itself."""
    name = ("told", "Organization", "o")

    def put(tx: Transaction, body: bytes) -> None:
        tx.resources.put("Organization", "o", body, member=None, system="mercy")

    def derive(tx: Transaction) -> bytes:
        def read() -> bytes:
            row = tx.resources.get("Organization", "o")
            return row.body * 2 if row else b""

        tx.audit.append("test.derived")
        return tx.recall.once(name, read)

    desk.write(lambda tx: put(tx, b"1"))
    assert desk.write(derive) == desk.write(derive) == b"11"
    desk.write(lambda tx: put(tx, b"2"))
    assert desk.write(derive) == b"22"


def told_of(desk: Desk) -> list[bytes]:
    """Return what rests on a consent, as it is worked out jointly with others."""

    def work(tx: Transaction) -> list[bytes]:
        tx.audit.append("test.read")
        return tx.recall.jointly("both", lambda: [row.body for row in tx.resources.consents(["m"])])

    return desk.write(work)


def test_what_rests_on_several_records_is_worked_out_once(desk: Desk) -> None:
    """As long as nothing that is remembered changes, the very same answer is given again."""
    desk.write(lambda tx: put(tx, "c", "m", b"1"))
    first = told_of(desk)
    desk.write(lambda tx: put_goal(tx, "g"))
    assert first == [b"1"]
    assert told_of(desk) is first


def test_what_rests_on_several_records_is_forgotten_with_any(desk: Desk, other: Desk) -> None:
    """Whoever changes anything that is remembered, in whatever process, it is worked out anew."""
    desk.write(lambda tx: put(tx, "c", "m", b"1"))
    assert told_of(desk) == [b"1"]
    desk.write(lambda tx: put(tx, "c", "m", b"2"))
    assert told_of(desk) == [b"2"]
    other.write(lambda tx: put(tx, "c", "m", b"3"))
    assert told_of(desk) == [b"3"]


def test_a_change_is_seen_within_its_own_transaction(desk: Desk) -> None:
    """What a transaction has worked out before it changes a record is not believed after that."""
    desk.write(lambda tx: put(tx, "c", "m", b"1"))

    def work(tx: Transaction) -> list[list[bytes]]:
        def read() -> list[bytes]:
            return [row.body for row in tx.resources.consents(["m"])]

        before = tx.recall.jointly("both", read)
        put(tx, "c", "m", b"2")
        return [before, tx.recall.jointly("both", read)]

    assert desk.write(work) == [[b"1"], [b"2"]]
    assert told_of(desk) == [b"2"]
