"""Everything about one member: what there is by a short read, and the bodies of what is asked."""

from __future__ import annotations

from desk import Desk

from engine.store import Transaction


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
