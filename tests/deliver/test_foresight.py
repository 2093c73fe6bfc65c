"""What is judged ahead of a turn counts only where the turn would judge the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from rig import Rig, permit, put
from scripted import Scripted

from engine.deliver.destination import Destination
from engine.deliver.foresight import Foresight
from engine.deliver.ports import Delivery, Permit, Ruling, Withhold, nothing_more
from engine.deliver.turn import Desk, Result, Turned
from engine.store import Store, Transaction

GIVEN = b'{"resourceType":"Consent","id":"m1","status":"active"}'
WITHDRAWN = b'{"resourceType":"Consent","id":"m1","status":"inactive"}'
HUB = Destination("hub", "http://hub.example/fhir")


def judge(tx: Transaction, delivery: Delivery) -> Permit | Withhold:
    """Permit while the member's consent in the registry is active."""
    (consent,) = tx.resources.consents([delivery.member])
    if b'"inactive"' in consent.body:
        return Withhold("consent-withdrawn", Ruling("deny", "consent-revoked", {}))
    return Permit(Ruling("permit", None, {}))


def consent(body: bytes) -> Callable[[Transaction], object]:
    """Return the work of entering a Consent."""
    return lambda tx: tx.resources.put("Consent", "m1", body, member="m1", system="mercy")


def entered(member: str) -> Callable[[Transaction], object]:
    """Return the work of entering another member's Consent."""
    return lambda tx: tx.resources.put("Consent", member, GIVEN, member=member, system="mercy")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(f"sqlite:///{tmp_path / 'record.db'}") as store:
        store.write(consent(GIVEN)).result()
        store.write(lambda tx: put(tx, "message-1", "hub", "m1")).result()
        yield store


def turn(
    store: Store,
    asked: Any,
    before: Callable[[Transaction], object] = lambda _: None,
    foresight: Foresight | None = None,
) -> Turned:
    """Do one turn with foresight; `before` happens in the same commit, ahead of it."""
    desk = Desk("w", asked, nothing_more, {"hub": HUB}, lambda: 0.0, 10.0, 8)
    foresight = foresight or Foresight(asked, {"hub": 4}, 8)
    work = desk.turn([], {"hub": 4}, foresight=foresight)

    def both(tx: Transaction) -> Turned:
        before(tx)
        return work(tx)

    return store.write(both, foresight).result()


def test_what_was_foreseen_is_not_judged_again(store: Store) -> None:
    """One delivery is judged once, before the turn, and leaves under that decision."""
    asked: list[bool] = []

    def noting(tx: Transaction, delivery: Delivery) -> Permit | Withhold:
        asked.append(tx.connection.exec_driver_sql("PRAGMA query_only").scalar_one() == 1)
        return judge(tx, delivery)

    assert len(turn(store, noting).tasks) == 1
    assert asked == [True]


def test_a_consent_withdrawn_meanwhile_keeps_it_back(store: Store) -> None:
    """A revocation that commits between foresight and turn is seen by the turn."""
    assert turn(store, judge, consent(WITHDRAWN)).tasks == []
    rows = store.read(lambda tx: tx.deliveries.search(state="held"))
    assert [row.reason for row in rows] == ["consent-withdrawn"]


def test_a_consent_withdrawn_by_another_process_keeps_it_back(store: Store, tmp_path: Path) -> None:
    """So is one that another process commits while this one is judging ahead."""
    with Store.open(f"sqlite:///{tmp_path / 'record.db'}") as other:

        def slow(tx: Transaction, delivery: Delivery) -> Permit | Withhold:
            verdict = judge(tx, delivery)
            if isinstance(verdict, Permit):
                other.write(consent(WITHDRAWN)).result()
            return verdict

        desk_sees = turn(store, slow)
    assert desk_sees.tasks == []


def test_a_judge_that_writes_writes_in_the_turn(store: Store) -> None:
    """What a judge records is on record: ahead of the turn nothing can be."""

    def recording(tx: Transaction, delivery: Delivery) -> Permit | Withhold:
        tx.audit.append("test.judged", {}, delivery=delivery.id)
        return judge(tx, delivery)

    assert len(turn(store, recording).tasks) == 1
    assert len(store.read(lambda tx: tx.audit.of_kind("test.judged"))) == 1


def test_a_judge_that_fails_ahead_is_asked_in_the_turn(store: Store) -> None:
    """Foresight is no judgement: what it could not tell, the turn tells."""
    calls: list[int] = []

    def failing_first(tx: Transaction, delivery: Delivery) -> Permit | Withhold:
        calls.append(1)
        if len(calls) == 1:
            raise ValueError("a bug")
        return judge(tx, delivery)

    assert len(turn(store, failing_first).tasks) == 1


def test_what_stands_behind_an_arrival_is_foreseen(store: Store) -> None:
    """The turn that records an arrival claims the next of that line, judged ahead."""
    store.write(lambda tx: put(tx, "message-2", "hub", "m1")).result()
    (first,) = turn(store, judge).tasks
    asked: list[bool] = []

    def noting(tx: Transaction, delivery: Delivery) -> Permit | Withhold:
        asked.append(tx.connection.exec_driver_sql("PRAGMA query_only").scalar_one() == 1)
        return judge(tx, delivery)

    desk = Desk("w", noting, nothing_more, {"hub": HUB}, lambda: 0.0, 10.0, 8)
    foresight = Foresight(noting, {"hub": 4}, 8, [first.delivery])
    work = desk.turn([Result(first.delivery, "accept")], {"hub": 4}, foresight=foresight)
    (second,) = store.write(work, foresight).result().tasks
    assert second.delivery.message_id == "message-2"
    assert asked == [True]


def test_what_comes_due_after_the_look_is_left_to_the_next_turn(store: Store) -> None:
    """Nobody waits for a judgement that can be had before: it is judged ahead of the next turn."""
    asked: list[bool] = []

    def noting(tx: Transaction, delivery: Delivery) -> Permit | Withhold:
        asked.append(tx.connection.exec_driver_sql("PRAGMA query_only").scalar_one() == 1)
        return judge(tx, delivery)

    first = turn(store, noting, lambda tx: put(tx, "message-2", "hub", "m2"))
    assert (len(first.tasks), first.left) == (1, 1)
    store.write(entered("m2")).result()
    second = turn(store, noting)
    assert [task.delivery.message_id for task in second.tasks] == ["message-2"]
    assert (second.left, asked) == (0, [True, True])


def test_what_is_brief_is_judged_in_the_turn(store: Store) -> None:
    """A judgement that keeps nobody waiting is not made ahead, and nothing waits for it."""
    asked: list[bool] = []

    def noting(tx: Transaction, delivery: Delivery) -> Permit | Withhold:
        asked.append(tx.connection.exec_driver_sql("PRAGMA query_only").scalar_one() == 1)
        return judge(tx, delivery)

    store.write(entered("m2")).result()
    foresight = Foresight(noting, {"hub": 4}, 8, brief=lambda _tx, delivery: True)
    turned = turn(store, noting, lambda tx: put(tx, "message-2", "hub", "m2"), foresight)
    assert (len(turned.tasks), turned.left, asked) == (2, 0, [False, False])
    assert foresight.asked == 0


def test_what_is_asked_of_all_is_read_together_ahead_of_the_turn(store: Store) -> None:
    """It is asked on the snapshot for all that stands next; where that fails each asks itself."""
    store.write(entered("m2")).result()
    store.write(lambda tx: put(tx, "message-2", "hub", "m2")).result()
    made: list[tuple[bool, list[str]]] = []

    def ready(tx: Transaction, deliveries: Sequence[Delivery]) -> None:
        made.append((tx.looks_ahead, sorted(one.member for one in deliveries)))
        raise ValueError("a bug")

    foresight = Foresight(judge, {"hub": 4}, 8, ready=ready)
    assert len(turn(store, judge, foresight=foresight).tasks) == 2
    assert made == [(True, ["m1", "m2"])]


def test_without_a_look_everything_is_judged_in_the_turn(store: Store) -> None:
    """Where the store does not look ahead, nothing is left behind."""
    desk = Desk("w", judge, nothing_more, {"hub": HUB}, lambda: 0.0, 10.0, 8)
    foresight = Foresight(judge, {"hub": 4}, 8)
    turned = store.write(desk.turn([], {"hub": 4}, foresight=foresight)).result()
    assert (len(turned.tasks), turned.left, foresight.asked) == (1, 0, 1)


def test_what_turns_up_between_look_and_turn_is_delivered_promptly(tmp_path: Path) -> None:
    """The next turn follows at once: no time passes, and the judge is asked ahead of it again."""
    ahead: list[tuple[str, bool]] = []
    late: list[str] = []

    async def run() -> None:
        async with Rig(tmp_path) as rig, Scripted() as server:
            other = Store.open(f"sqlite:///{tmp_path / 'record.db'}", clock=rig.clock)

            def noting(tx: Transaction, delivery: Delivery) -> Permit | Withhold:
                looking = tx.connection.exec_driver_sql("PRAGMA query_only").scalar_one() == 1
                ahead.append((delivery.member, looking))
                if not late:
                    late.append("m2")
                    other.write(lambda tx: put(tx, "message-2", "hub", "m2")).result(30)
                return permit(tx, delivery)

            with other:
                rig.enqueue("hub", "m1")
                rig.start(rig.destination("hub", server.url), judge=noting)
                await rig.until_true(lambda: not rig.store.read(lambda tx: tx.deliveries.depth()))
            assert len(server.received) == 2

    asyncio.run(run())
    assert ahead == [("m1", True), ("m2", True)]
