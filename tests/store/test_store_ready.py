"""What is read beforehand for many is told to each as it stands when each asks."""

from __future__ import annotations

from collections.abc import Callable

from desk import Desk

from engine.store import Transaction


def _held(tx: Transaction) -> list[tuple[str, str | None]]:
    return [(row.id, row.reason) for row in tx.deliveries.of_member("held", ["m1"])]


def test_what_is_held_is_told_after_every_change(desk: Desk) -> None:
    """What this transaction holds, withholds, releases or gives up counts at once."""
    first, second, other = desk.enqueue("m1"), desk.enqueue("m1", "plan"), desk.enqueue("m2")

    def changing(tx: Transaction) -> list[list[tuple[str, str | None]]]:
        tx.deliveries.ready_held(["m1", "m2"])
        told = [_held(tx)]
        (claimed,) = [row for row in tx.deliveries.claim("w", 9, {"hub": 9}, 30).rows
                      if row.id == first.id]  # fmt: skip
        changes: list[Callable[[], object]] = [
            lambda: tx.deliveries.hold(first.id, claimed.fence, "one"),
            lambda: tx.deliveries.withhold(second.id, "two"),
            lambda: tx.deliveries.release(first.id, "engine"),
            lambda: tx.deliveries.discard(second.id, "not wanted", "engine"),
        ]
        for change in changes:
            assert change()
            told.append(_held(tx))
        return told

    assert desk.write(changing) == [
        [],
        [(first.id, "one")],
        [(first.id, "one"), (second.id, "two")],
        [(second.id, "two")],
        [],
    ]
    assert other.member == "m2"


def test_what_is_held_is_told_of_each_member(desk: Desk) -> None:
    """Asked for many, each is told his own, the oldest first."""
    rows = [desk.enqueue(member) for member in ("m1", "m2", "m1")]
    for row in rows:
        desk.write(lambda tx, id=row.id: tx.deliveries.withhold(id, "held"))

    def told(tx: Transaction) -> list[list[str]]:
        tx.deliveries.ready_held(["m1", "m2", "m3"])
        asked = (["m1"], ["m2"], ["m3"], ["m2", "m1"])
        return [[row.id for row in tx.deliveries.of_member("held", one)] for one in asked]

    one, two, three = (row.id for row in rows)
    assert desk.write(told) == [[one, three], [two], [], [two, one, three]]


def test_versions_are_told_as_they_are_put(desk: Desk) -> None:
    """A version that was missing when many were read is there once it is put."""

    def put(tx: Transaction, body: bytes) -> int:
        return tx.resources.put("CarePlan", "p1", body, member="m1", system="mercy")

    desk.write(lambda tx: put(tx, b"{}"))

    def told(tx: Transaction) -> list[bytes | None]:
        tx.resources.ready_versions([("CarePlan", "p1", number) for number in (1, 2)])
        before = tx.resources.version("CarePlan", "p1", 2)
        assert before is None
        put(tx, b'{"a": 1}')
        rows = [tx.resources.version("CarePlan", "p1", number) for number in (1, 2, 3)]
        return [row.body if row else None for row in rows]

    assert desk.write(told) == [b"{}", b'{"a": 1}', None]
