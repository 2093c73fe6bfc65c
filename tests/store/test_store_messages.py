"""The inbox: what counts as a repeat, and that it is answered as before."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from desk import Desk, accept

from engine.clock import after
from engine.store import Store, Transaction
from engine.testing import ManualClock

LONG_AGO = "2000-01-01T00:00:00.000000Z"


def find(desk: Desk, **known: Any) -> Any:
    values = {"system": "mercy", "key": None, "digest": None, "since": LONG_AGO, **known}
    return desk.store.read(lambda tx: tx.messages.find_duplicate(**values))


def test_message_comes_back_as_it_was_stored(desk: Desk) -> None:
    """Body and answer are read back byte for byte."""
    id = desk.accept(body=b"\x00\xff{}", correlation="case-1")
    desk.write(lambda tx: tx.messages.answer(id, state="rejected", status=403, response=b"{no}"))
    row = desk.store.read(lambda tx: tx.messages.get(id))
    assert row is not None
    assert (row.body, row.response, row.status, row.state) == (
        b"\x00\xff{}",
        b"{no}",
        403,
        "rejected",
    )
    assert row.correlation == "case-1"


def test_same_key_repeats_for_the_same_system_only(desk: Desk) -> None:
    """A key is a system's own: another system may use the same."""
    id = desk.accept(key="k", digest="d")
    found = find(desk, key="k", digest="d")
    assert (found.message.id, found.by, found.same_body) == (id, "key", True)
    assert find(desk, system="hub", key="k", digest="d") is None


def test_same_key_with_another_body_is_told_apart(desk: Desk) -> None:
    """A key that returns with another body is a repeat that says so."""
    desk.accept(key="k", digest="d")
    assert find(desk, key="k", digest="other").same_body is False


def test_same_digest_repeats_within_the_window_only(desk: Desk, clock: ManualClock) -> None:
    """The same content is a repeat where the first came inside the window."""
    id = desk.accept(key="", digest="d")
    inside, outside = after(clock.now(), -60), after(clock.now(), 1)
    assert find(desk, digest="d", since=inside).message.id == id
    assert find(desk, digest="d", since=outside) is None


def test_a_b_a_is_three_updates(desk: Desk) -> None:
    """The same content is no repeat once another message touched the same resource."""
    desk.accept(key="", digest="a", touches=["CareTeam/1", "Patient/1"])
    assert find(desk, digest="a").by == "digest"
    desk.accept(key="", digest="b", touches=["CareTeam/1"])
    assert find(desk, digest="a") is None
    second = desk.accept(key="", digest="a", touches=["CareTeam/1", "Patient/1"])
    assert find(desk, digest="a").message.id == second


def test_another_system_or_resource_in_between_changes_nothing(desk: Desk) -> None:
    """Only the same system touching the same resource ends a repeat."""
    desk.accept(key="", digest="a", touches=["CareTeam/1"])
    desk.accept(key="", digest="b", touches=["CareTeam/2"])
    desk.accept(key="", digest="c", system="hub", touches=["CareTeam/1"])
    assert find(desk, digest="a").by == "digest"


def test_concurrent_identical_submissions_are_accepted_once(store_url: str) -> None:
    """Of many identical submissions at once, through two stores, one is accepted."""

    def submit(tx: Transaction) -> bool:
        if tx.messages.find_duplicate("mercy", "", "same", LONG_AGO):
            return False
        accept(tx, key="", digest="same")
        return True

    with Store.open(store_url) as one, Store.open(store_url) as two, ThreadPoolExecutor(8) as pool:
        stores = [one, two] * 20
        answers = list(pool.map(lambda store: store.write(submit).result(30), stores))
    assert answers.count(True) == 1


def test_messages_are_found_by_what_people_know(desk: Desk, clock: ManualClock) -> None:
    """System, state, correlation and time each narrow the search; the newest comes first."""
    first = desk.accept(system="mercy", correlation="c1")
    clock.advance(10)
    second = desk.accept(system="hub", state="rejected")
    search = desk.store.read(lambda tx: [row.id for row in tx.messages.search()])
    assert search == [second, first]
    for known, expected in (
        ({"system": "hub"}, [second]),
        ({"state": "rejected"}, [second]),
        ({"correlation": "c1"}, [first]),
        ({"since": clock.now()}, [second]),
        ({"until": clock.now()}, [first]),
    ):
        found = desk.store.read(lambda tx, k=known: [row.id for row in tx.messages.search(**k)])
        assert found == expected


def test_retention_removes_bodies_and_keeps_the_record(desk: Desk, clock: ManualClock) -> None:
    """Old bodies go; what is said about the message stays."""
    old = desk.accept()
    clock.advance(100)
    new = desk.accept()
    assert desk.write(lambda tx: tx.upkeep.forget_messages(clock.now(), 10)) == 1
    rows = [desk.store.read(lambda tx, id=id: tx.messages.get(id)) for id in (old, new)]
    assert [row.body is None for row in rows if row] == [True, False]
