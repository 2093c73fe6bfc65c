"""What is asked for many writes at once, and sent for many at once, reads as if each went alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from desk import Desk, accept, add_unit
from empty_record import empty_record
from msgspec.structs import replace

from engine.ahead import ask_together
from engine.errors import StoreError
from engine.store import Ahead, Store, Transaction
from engine.store.answers import Question
from engine.store.session import Session
from engine.testing import ManualClock
from engine.transform.crosswalk import Key

KEY = Key("mercy", "reference", "CarePlan/7")
OTHER = Key("", "identifier", "CarePlan|http://mercy.example/plan|7")
LONG_AGO = "2000-01-01T00:00:00.000000Z"


class Counted:
    """Answer with the length of each name, and keep what was asked."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.question: Question[str, int] = Question(self._ask, 0)

    def _ask(self, session: Session, names: Sequence[str]) -> dict[str, int]:
        self.asked.append(list(names))
        return {name: len(name) for name in names if name}

    def of(self, tx: Transaction, *names: str) -> list[int]:
        return list(tx.answers.to(self.question, names).values())


@pytest.fixture
def lite(tmp_path: Path) -> Desk:
    """Return a record on SQLite, where looks ahead are taken."""
    return Desk(Store.open(empty_record(tmp_path / "lite.db"), clock=ManualClock()))


def test_the_same_is_asked_once_where_nobody_else_writes(desk: Desk) -> None:
    """On SQLite an answer counts until the commit; on PostgreSQL others may change it, always."""
    counted = Counted()
    assert desk.write(lambda tx: counted.of(tx, "a", "") + counted.of(tx, "a", "bb")) == [
        1,
        0,
        1,
        2,
    ]
    lite = desk.write(lambda tx: tx.neutral)
    assert counted.asked == ([["a", ""], ["bb"]] if lite else [["a", ""], ["a", "bb"]])


def test_another_transaction_asks_anew(desk: Desk) -> None:
    """What one transaction was told, the next is not."""
    counted = Counted()
    for _ in range(2):
        desk.write(lambda tx: counted.of(tx, "a"))
    assert counted.asked == [["a"], ["a"]]


def test_what_was_foreseen_is_asked_together(lite: Desk) -> None:
    """What was asked ahead and what is expected is asked in one statement before the turn."""
    counted = Counted()

    def look(tx: Transaction) -> tuple[int, ...]:
        tx.answers.expect(counted.question, ["expected", "more"])
        return tuple(counted.of(tx, "ahead"))

    ahead = Ahead(look)

    def work(tx: Transaction) -> None:
        assert ahead.still(tx) == (5,)
        assert counted.of(tx, "more", "expected") == [4, 8]

    with lite.store as store:
        store.write(work, ahead).result(30)
    assert counted.asked == [["ahead"], ["ahead", "expected", "more"]]


def test_what_several_say_they_will_ask_is_asked_together(lite: Desk) -> None:
    """Round by round all names go into one statement; who fails to say asks for himself."""
    counted = Counted()

    def looking(*names: str, fails: bool = False) -> Ahead[tuple[int, ...]]:
        def asking(tx: Transaction) -> Iterator[None]:
            for name in names:
                if fails:
                    raise ValueError("a bug")
                tx.answers.expect(counted.question, [name])
                yield

        return Ahead(lambda tx: tuple(counted.of(tx, *names)), asking)

    several = [looking("a", "bb"), looking("cc", "d"), looking("e", fails=True), looking("f")]

    def work(tx: Transaction) -> None:
        ask_together(tx, several)
        assert counted.asked == [["a", "cc", "f"], ["bb", "d"]]
        for one in several:
            one.look(tx)
        assert counted.asked[2:] == [["e"]]
        assert [one.still(tx) for one in several] == [(1, 2), (2, 1), (1,), (1,)]

    with lite.store as store:
        store.write(work).result(30)


def test_a_link_counts_at_once(desk: Desk) -> None:
    """Whoever asked for a key before it was linked is told so afterwards, in the same commit."""

    def work(tx: Transaction) -> None:
        assert tx.crosswalk.resolve([KEY, OTHER]) == {}
        assert tx.crosswalk.current("e1") is None
        assert tx.crosswalk.known(["e1"]) == {"e1": []}
        assert tx.crosswalk.link({KEY: "e1"}, source="test") == {}
        assert tx.crosswalk.resolve([KEY, OTHER]) == {KEY: "e1"}
        assert tx.crosswalk.current("e1") == "e1"
        assert tx.crosswalk.known(["e1"]) == {"e1": [KEY]}
        assert tx.crosswalk.link({KEY: "e2", OTHER: "e2"}, source="test") == {KEY: "e1"}
        assert tx.crosswalk.resolve([KEY, OTHER]) == {KEY: "e1", OTHER: "e2"}

    desk.write(work)
    assert desk.store.read(lambda tx: tx.crosswalk.resolve([KEY])) == {KEY: "e1"}


def test_a_merger_counts_at_once(desk: Desk) -> None:
    """Whoever was told of two entities is told of one after their merger, with the keys of both."""

    def work(tx: Transaction) -> None:
        crosswalk = tx.crosswalk
        crosswalk.link({KEY: "e1", OTHER: "e2"}, source="test")
        assert crosswalk.resolve([KEY, OTHER]) == {KEY: "e1", OTHER: "e2"}
        assert crosswalk.known(["e1", "e2"]) == {"e1": [KEY], "e2": [OTHER]}
        crosswalk.merge("e1", "e2")
        assert crosswalk.resolve([KEY, OTHER]) == {KEY: "e1", OTHER: "e1"}
        assert crosswalk.current("e2") == "e1"
        assert set(crosswalk.known(["e1"])["e1"]) == {KEY, OTHER}
        late = Key("hub", "reference", "CarePlan/late")
        crosswalk.link({late: "e2"}, source="test")
        assert set(crosswalk.known(["e1"])["e1"]) == {KEY, OTHER, late}

    desk.write(work)


def test_versions_of_one_commit_follow_each_other(desk: Desk) -> None:
    """Each version of a resource has its number, and is what is read next."""

    def put(tx: Transaction, body: bytes) -> int:
        return tx.resources.put("CarePlan", "p1", body, member="m1", system="mercy")

    def work(tx: Transaction) -> None:
        assert tx.resources.get("CarePlan", "p1") is None
        assert put(tx, b"1") == 1
        assert put(tx, b"2") == 2
        found = tx.resources.get("CarePlan", "p1")
        assert found is not None
        assert (found.version, found.body) == (2, b"2")

    desk.write(work)
    assert desk.write(lambda tx: put(tx, b"3")) == 3
    rows = desk.store.read(lambda tx: tx.resources.versions("CarePlan", "p1"))
    assert [(row.version, row.body) for row in rows] == [(1, b"1"), (2, b"2"), (3, b"3")]
    now = desk.store.read(lambda tx: tx.resources.get("CarePlan", "p1"))
    assert now is not None
    assert (now.version, now.body) == (3, b"3")


def test_what_a_member_has_is_known_at_once(desk: Desk) -> None:
    """A first Task counts in its own commit, and one that goes to another member leaves the old."""

    def has(tx: Transaction, member: str) -> bool:
        return tx.resources.has_of_member("Task", [member])

    def work(tx: Transaction) -> None:
        assert not has(tx, "m1")
        tx.resources.put("Task", "t1", b"1", member="m1", system="mercy")
        assert (has(tx, "m1"), has(tx, "m2")) == (True, False)
        tx.resources.put("Task", "t1", b"2", member="m2", system="mercy")
        assert (has(tx, "m1"), has(tx, "m2")) == (False, True)
        assert not tx.resources.has_of_member("CarePlan", ["m1", "m2"])

    desk.write(work)


def test_a_hold_counts_at_once(desk: Desk) -> None:
    """Whoever was told that nobody waits for a key is told of a unit held after that."""

    def work(tx: Transaction) -> None:
        assert tx.units.waiting_for(["key"]) == []
        _, unit = add_unit(tx, state="held", reason="unknown", waiting_on=("key",))
        assert [row.id for row in tx.units.waiting_for(["key"])] == [unit]
        [row] = tx.units.waiting_for(["key"])
        assert tx.units.move(replace(row, state="routed", waiting_on=()), "held")
        assert tx.units.waiting_for(["key"]) == []

    desk.write(work)


def test_a_repeat_in_the_same_commit_is_noticed(desk: Desk) -> None:
    """What came a moment ago, in the same commit, is repeated by its key and by its digest."""

    def work(tx: Transaction) -> None:
        assert tx.messages.find_duplicate("mercy", "k", "d", LONG_AGO) is None
        first = accept(tx, key="k", digest="d", touches=["CarePlan/p1"])
        found = [
            tx.messages.find_duplicate("mercy", key, digest, LONG_AGO)
            for key, digest in (("k", "other"), ("other", "d"), (None, "d"))
        ]
        assert [one and (one.message.id, one.by) for one in found] == [
            (first, "key"),
            (first, "digest"),
            (first, "digest"),
        ]
        assert tx.messages.find_duplicate("hub", "k", "d", LONG_AGO) is None
        accept(tx, touches=["CarePlan/p1"])
        assert tx.messages.find_duplicate("mercy", None, "d", LONG_AGO) is None

    desk.write(work)


def test_messages_are_numbered_in_the_order_in_which_they_came(desk: Desk) -> None:
    """Over one commit and the next, numbers ascend; none is given twice."""

    def numbers(ids: Sequence[str]) -> list[int]:
        return [desk.store.read(_numbered(id)) for id in ids]

    ids = [*desk.write(lambda tx: [accept(tx) for _ in range(3)]), desk.accept(), desk.accept()]
    found = numbers(ids)
    assert found == sorted(set(found))


def _numbered(id: str) -> Callable[[Transaction], int]:
    def read(tx: Transaction) -> int:
        row = tx.messages.get(id)
        assert row is not None
        return row.number

    return read


def test_a_timer_of_a_new_key_is_there_at_once(desk: Desk) -> None:
    """A timer that is sent with other rows is found by who looks for what is due."""

    def work(tx: Transaction) -> None:
        tx.timers.set_first("k", "react", tx.now, {"message": "m"})
        assert [row.key for row in tx.timers.due(tx.now, 10)] == ["k"]

    desk.write(work)


def test_reading_queues_nothing(desk: Desk) -> None:
    """What only reads is refused what it would write, also where that would be sent later."""
    with pytest.raises(StoreError):
        desk.store.read(lambda tx: tx.audit.append("test.noted"))


def test_what_stands_is_told_anew_after_a_change_of_it(desk: Desk) -> None:
    """A version that is put and a key that is linked count at once, though asked for before."""

    def work(tx: Transaction) -> list[tuple[int, int]]:
        found = [tx.resources.standing("CareTeam", "t1")]
        tx.resources.put("CareTeam", "t1", b"{}", member="m1", system="mercy")
        found.append(tx.resources.standing("CareTeam", "t1"))
        tx.crosswalk.link({Key("mercy", "reference", "CareTeam/9"): "t1"}, source="mercy")
        found.append(tx.resources.standing("CareTeam", "t1"))
        return found

    assert desk.write(work) == [(0, 0), (1, 0), (1, 1)]


def test_what_stands_is_known_of_many_that_were_asked_for_together(desk: Desk) -> None:
    """Whoever asked which of many are outdated knows what stands of each."""

    def work(tx: Transaction) -> None:
        for number in range(70):
            tx.resources.put("CareTeam", f"t{number}", b"{}", member=None, system="mercy")
        asked = {f"CareTeam/t{number}": number % 2 for number in range(70)}
        even = {name for name, version in asked.items() if version == 0}
        assert tx.deliveries.outdated(asked) == even
        assert {tx.resources.standing("CareTeam", f"t{number}") for number in range(70)} == {(1, 0)}

    desk.write(work)
