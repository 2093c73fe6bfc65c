"""What is read together of members, timers and messages, and seen as a transaction changes it."""

from __future__ import annotations

from desk import Desk
from msgspec.structs import replace

from engine.store import Transaction, UnitRow


def _put(tx: Transaction, id: str, member: str, body: bytes, deleted: bool = False) -> None:
    tx.resources.put("CarePlan", id, body, member=member, system="mercy", deleted=deleted)


def test_what_there_is_of_a_member_comes_without_bodies(desk: Desk) -> None:
    """By type and id, of every id of the member, in the current version, deleted ones too."""
    for id, member, body in (("b", "m1", b"1"), ("b", "m1", b"2"), ("a", "m2", b"1")):
        desk.write(lambda tx, id=id, member=member, body=body: _put(tx, id, member, body))
    desk.write(lambda tx: _put(tx, "c", "m1", b"1", deleted=True))
    desk.write(lambda tx: _put(tx, "d", "other", b"1"))
    rows = desk.store.read(lambda tx: tx.resources.all_of_member(["m1", "m2", "m1"]))
    told = [(row.id, row.version, row.member, row.deleted, row.body) for row in rows]
    assert told == [
        ("a", 1, "m2", False, b""),
        ("b", 2, "m1", False, b""),
        ("c", 1, "m1", True, b""),
    ]


def test_bodies_are_read_of_what_is_asked(desk: Desk) -> None:
    """Also what the same transaction has just written; what is unknown is left out."""
    desk.write(lambda tx: _put(tx, "a", "m1", b"1"))

    def changing(tx: Transaction) -> list[tuple[str, int, bytes]]:
        tx.resources.current([("CarePlan", "a")])
        _put(tx, "a", "m1", b"2")
        _put(tx, "b", "m1", b"1")
        names = [("CarePlan", id) for id in ("a", "b", "c")]
        return sorted((row.id, row.version, row.body) for row in tx.resources.current(names))

    assert desk.write(changing) == [("a", 2, b"2"), ("b", 1, b"1")]


def test_what_a_transaction_changes_of_a_member_it_sees(desk: Desk) -> None:
    """What was told of a member is told anew once a resource of it was put."""
    desk.write(lambda tx: _put(tx, "a", "m1", b"1"))

    def changing(tx: Transaction) -> list[list[tuple[str, int]]]:
        def told() -> list[tuple[str, int]]:
            return [(row.id, row.version) for row in tx.resources.all_of_member(["m1"])]

        tx.resources.ready_of_members(["m1"])
        tx.resources.ready_has("CarePlan", ["m1"])
        before = told()
        _put(tx, "a", "m1", b"2")
        _put(tx, "b", "m1", b"1")
        return [before, told()]

    assert desk.write(changing) == [[("a", 1)], [("a", 2), ("b", 1)]]


def test_what_a_transaction_changes_of_a_timer_it_sees(desk: Desk) -> None:
    """Set, amended, put off, gone off or cancelled: a timer is told of as it is by then."""

    def changing(tx: Transaction) -> list[str | None]:
        states: list[str | None] = []

        def note(key: str = "one") -> None:
            found = tx.timers.get(key)
            states.append(found and f"{found.state} {found.attempts} {found.body}")

        tx.timers.ready(["one", "two"])
        note()
        tx.timers.set("one", "note", tx.now, {})
        note()
        tx.timers.amend("one", {"a": 1})
        note()
        tx.timers.again("one", tx.now, "failed")
        note()
        assert [timer.key for timer in tx.timers.due(tx.now, 8)] == ["one"]
        tx.timers.finish("one")
        note()
        tx.timers.set_first("two", "note", tx.now, {})
        note("two")
        tx.timers.cancel("two")
        note("two")
        return states

    assert desk.write(changing) == [
        None,
        "waiting 0 {}",
        "waiting 0 {'a': 1}",
        "waiting 1 {'a': 1}",
        "done 1 {'a': 1}",
        "waiting 0 {}",
        "cancelled 0 {}",
    ]


def test_what_a_transaction_changes_of_units_it_sees(desk: Desk) -> None:
    """A unit that is added to a message, or moves, is told of as it is by then."""
    message, id = desk.unit(state="held", reason="other")
    other, _ = desk.unit()

    def changing(tx: Transaction) -> list[str]:
        tx.units.ready([message, other])
        (row,) = tx.units.of_message(message)
        told = [row.state]
        tx.units.move(replace(row, state="routed", reason=None), "held")
        tx.units.add([UnitRow(tx.ids.new(), message, 1, "Goal", "accepted")])
        return told + [row.state for row in tx.units.of_message(message)]

    assert desk.write(changing) == ["held", "routed", "accepted"]
    first, _ = desk.store.read(lambda tx: tx.units.of_message(message))
    assert first.id == id


def test_units_are_told_once_of_a_message_that_is_named_twice(desk: Desk) -> None:
    """However many messages are named in between: they are asked for page by page."""
    message, id = desk.unit()
    others = [desk.unit()[0] for _ in range(64)]

    def told(tx: Transaction) -> list[str]:
        tx.units.ready([message, *others, message])
        return [row.id for row in tx.units.of_message(message)]

    assert desk.write(told) == [id]
