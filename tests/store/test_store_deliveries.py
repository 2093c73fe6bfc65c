"""The outbox: lines in order, leases, fencing tokens, and what dead letters do."""

from __future__ import annotations

import pytest
from desk import Desk

from engine.clock import after
from engine.store import DeliveryRow, Store, Transaction
from engine.testing import ManualClock
from engine.transform.crosswalk import Key


def state(desk: Desk, row: DeliveryRow) -> str:
    found = desk.store.read(lambda tx: tx.deliveries.get(row.id))
    assert found is not None
    return found.state


def ids(rows: list[DeliveryRow]) -> list[str]:
    return [row.id for row in rows]


def test_only_the_first_of_each_line_is_claimed(desk: Desk) -> None:
    """Two members move at once; what stands behind the first of a line waits."""
    first, _, other = desk.enqueue("m1"), desk.enqueue("m1"), desk.enqueue("m2")
    assert ids(desk.claim()) == [first.id, other.id]
    assert desk.claim() == []


def test_lines_are_numbered_by_acceptance(desk: Desk) -> None:
    """Each line counts for itself from one."""
    rows = [desk.enqueue("m1"), desk.enqueue("m2"), desk.enqueue("m1")]
    assert [row.sequence for row in rows] == [1, 1, 2]


def test_next_follows_when_the_first_is_delivered(desk: Desk) -> None:
    """A delivery that is done lets the next of its line go."""
    rows = [desk.enqueue() for _ in range(3)]
    for row in rows:
        (claimed,) = desk.claim()
        assert claimed.id == row.id
        assert desk.write(lambda tx, c=claimed: tx.deliveries.complete(c.id, c.fence))
    assert desk.claim() == []
    assert desk.store.read(lambda tx: tx.deliveries.depth()) == []


def test_claim_brings_everything_needed_to_send(desk: Desk) -> None:
    """A claimed delivery has its body, envelope and a key that stays the same."""
    queued = desk.enqueue()
    (row,) = desk.claim()
    assert (row.body, row.envelope, row.attempts) == (b"{}", {"method": "PUT"}, 1)
    assert row.idempotency_key == queued.idempotency_key == queued.id


def test_limits_hold_per_claim_and_per_destination(desk: Desk) -> None:
    """No claim takes more than asked for, and no destination has more leases than allowed."""
    for n in range(5):
        desk.enqueue(f"m{n}", "hub")
        desk.enqueue(f"m{n}", "mercy")
    assert len(desk.claim(3, hub=5, mercy=5)) == 3
    rows = desk.claim(10, hub=4, mercy=2)
    assert [row.destination for row in rows].count("mercy") == 2
    assert desk.claim(10, hub=4, mercy=2) == []


def test_retry_waits_until_it_is_due_and_keeps_its_place(desk: Desk, clock: ManualClock) -> None:
    """A failed attempt comes again at its time, before what stands behind it."""
    first, _ = desk.enqueue(), desk.enqueue()
    (row,) = desk.claim()
    due = after(clock.now(), 60)
    assert desk.write(lambda tx: tx.deliveries.retry(row.id, row.fence, due, "http-503"))
    assert desk.claim() == []
    assert desk.store.read(lambda tx: tx.deliveries.fronts(["hub", "mercy"]).next_due()) == due
    clock.advance(60)
    (again,) = desk.claim()
    assert (again.id, again.attempts, again.fence) == (first.id, 2, 2)


def test_lease_that_ends_is_taken_over(desk: Desk, clock: ManualClock) -> None:
    """When a worker falls silent, another gets its delivery after the lease."""
    desk.enqueue()
    (stalled,) = desk.claim(worker="a")
    clock.advance(29)
    assert desk.claim(worker="b") == []
    clock.advance(2)
    (taken,) = desk.claim(worker="b")
    assert (taken.id, taken.worker, taken.fence) == (stalled.id, "b", 2)


@pytest.mark.parametrize("report", ["complete", "retry", "give_back", "hold", "dead", "extend"])
def test_stale_fence_is_refused(desk: Desk, clock: ManualClock, report: str) -> None:
    """A worker that wakes up late cannot write over its successor."""
    desk.enqueue()
    (stalled,) = desk.claim()
    clock.advance(31)
    (taken,) = desk.claim()

    def late(tx: Transaction) -> bool:
        outbox, id, fence = tx.deliveries, stalled.id, stalled.fence
        match report:
            case "complete":
                return outbox.complete(id, fence)
            case "retry":
                return outbox.retry(id, fence, clock.now(), "late")
            case "give_back":
                return outbox.give_back(id, fence)
            case "hold":
                return outbox.hold(id, fence, "late")
            case "dead":
                return outbox.dead(id, fence, "late")
        return outbox.extend(id, fence, 100)

    assert desk.write(late) is False
    assert state(desk, taken) == "leased"
    assert desk.write(lambda tx: tx.deliveries.complete(taken.id, taken.fence)) is True


def test_report_counts_once(desk: Desk) -> None:
    """The same report a second time is refused."""
    desk.enqueue()
    (row,) = desk.claim()
    assert desk.write(lambda tx: tx.deliveries.complete(row.id, row.fence)) is True
    assert desk.write(lambda tx: tx.deliveries.complete(row.id, row.fence)) is False


def test_extended_lease_lasts_longer(desk: Desk, clock: ManualClock) -> None:
    """A worker that says it is still at it keeps its delivery."""
    desk.enqueue()
    (row,) = desk.claim()
    clock.advance(20)
    assert desk.write(lambda tx: tx.deliveries.extend(row.id, row.fence, 30))
    clock.advance(20)
    assert desk.claim() == []


def test_given_back_delivery_counts_no_attempt(desk: Desk) -> None:
    """What a worker returns unsent can be claimed at once, as if never tried."""
    desk.enqueue()
    (row,) = desk.claim()
    assert desk.write(lambda tx: tx.deliveries.give_back(row.id, row.fence))
    (again,) = desk.claim()
    assert again.attempts == 1


def test_held_delivery_lets_its_line_pass_and_returns_first(desk: Desk) -> None:
    """A held delivery stops nobody; released, it goes before what still waits."""
    first, second, third = desk.enqueue(), desk.enqueue(), desk.enqueue()
    (row,) = desk.claim()
    desk.write(lambda tx: tx.deliveries.hold(row.id, row.fence, "consent-withdrawn"))
    (row,) = desk.claim()
    assert row.id == second.id
    assert desk.write(lambda tx: tx.deliveries.release(first.id, "ann"))
    assert desk.claim() == []
    desk.write(lambda tx: tx.deliveries.complete(row.id, row.fence))
    assert ids(desk.claim()) == [first.id]
    assert state(desk, third) == "waiting"


def test_released_before_the_first_is_claimed_goes_first(desk: Desk) -> None:
    """Releasing moves the turn back to the earlier delivery while nobody has the later one."""
    first, _ = desk.enqueue(), desk.enqueue()
    assert desk.write(lambda tx: tx.deliveries.withhold(first.id, "asked"))
    assert desk.write(lambda tx: tx.deliveries.release(first.id, "ann"))
    assert ids(desk.claim()) == [first.id]
    assert desk.claim() == []


def test_retry_steps_behind_what_was_released_meanwhile(desk: Desk, clock: ManualClock) -> None:
    """A failed attempt gives way to an earlier delivery that was released while it ran."""
    first, second = desk.enqueue(), desk.enqueue()
    desk.write(lambda tx: tx.deliveries.withhold(first.id, "asked"))
    (row,) = desk.claim()
    desk.write(lambda tx: tx.deliveries.release(first.id, "ann"))
    desk.write(lambda tx: tx.deliveries.retry(row.id, row.fence, clock.now(), "http-503"))
    assert ids(desk.claim()) == [first.id]
    assert state(desk, second) == "waiting"


def die(desk: Desk, policy: str) -> DeliveryRow:
    (row,) = desk.claim(1)
    desk.write(lambda tx: tx.deliveries.dead(row.id, row.fence, "refused", policy))
    return row


def test_park_stops_the_line_and_nobody_else(desk: Desk) -> None:
    """A dead letter keeps its member's later deliveries back; other members go on."""
    dead = die(desk, "park") if desk.enqueue("m1") else None
    desk.enqueue("m1")
    other = desk.enqueue("m2")
    assert dead is not None
    assert ids(desk.claim()) == [other.id]
    assert state(desk, dead) == "dead"


def test_skip_lets_the_line_pass(desk: Desk) -> None:
    """A skipped dead letter is kept aside and its member's next delivery goes."""
    desk.enqueue("m1")
    dead, second = die(desk, "skip"), desk.enqueue("m1")
    assert ids(desk.claim()) == [second.id]
    assert state(desk, dead) == "skipped"


def test_block_stops_the_destination_until_someone_acts(desk: Desk) -> None:
    """A blocking dead letter stops every member there, and there only."""
    desk.enqueue("m1")
    dead = die(desk, "block")
    waits, elsewhere = desk.enqueue("m2"), desk.enqueue("m1", "mercy")
    assert ids(desk.claim(10, hub=9, mercy=9)) == [elsewhere.id]
    assert desk.store.read(lambda tx: tx.deliveries.blocked()) == {"hub"}
    assert desk.write(lambda tx: tx.deliveries.skip(dead.id, "ann"))
    assert ids(desk.claim()) == [waits.id]


@pytest.mark.parametrize("policy", ["park", "skip", "block"])
def test_requeued_dead_letter_starts_afresh(desk: Desk, policy: str) -> None:
    """A dead letter sent again has no attempts behind it and stands first of its line."""
    desk.enqueue("m1")
    dead = die(desk, policy)
    desk.enqueue("m1")
    assert desk.write(lambda tx: tx.deliveries.requeue(dead.id, "ann"))
    (row,) = desk.claim()
    assert (row.id, row.attempts, row.fence) == (dead.id, 1, 2)


def test_discarded_delivery_frees_its_line(desk: Desk) -> None:
    """Giving up a dead letter lets the next go and cannot be undone."""
    desk.enqueue("m1")
    dead, second = die(desk, "park"), desk.enqueue("m1")
    assert desk.write(lambda tx: tx.deliveries.discard(dead.id, "wrong member", "ann"))
    assert desk.write(lambda tx: tx.deliveries.requeue(dead.id, "ann")) is False
    assert ids(desk.claim()) == [second.id]


def test_moves_outside_the_state_table_are_refused(desk: Desk) -> None:
    """Nothing is released, requeued or skipped that is not in a state for it."""
    row = desk.enqueue()
    for move in ("release", "requeue", "skip"):
        assert desk.write(lambda tx, m=move: getattr(tx.deliveries, m)(row.id, "ann")) is False
    assert desk.write(lambda tx: tx.deliveries.release("unknown", "ann")) is False


def test_depth_tells_count_and_oldest_by_state(desk: Desk, clock: ManualClock) -> None:
    """The depth of a destination shows how much stands there and since when."""
    since = clock.now()
    desk.enqueue("m1")
    clock.advance(5)
    desk.enqueue("m1")
    desk.enqueue("m2")
    desk.claim(1)
    found = desk.store.read(lambda tx: tx.deliveries.depth())
    assert [(d.destination, d.state, d.count) for d in found] == [
        ("hub", "leased", 1),
        ("hub", "waiting", 2),
    ]
    assert (found[0].oldest, found[1].oldest) == (since, after(since, 5))


def test_clock_that_was_ahead_holds_nothing_back_for_long(desk: Desk, clock: ManualClock) -> None:
    """What was accepted before the clock stepped back an hour can be made due again."""
    desk.enqueue()
    clock.step(-3600)
    assert desk.claim() == []
    horizon = after(clock.now(), 600)
    assert desk.write(lambda tx: tx.deliveries.rearm(horizon)) == 1
    assert len(desk.claim()) == 1


def test_every_step_is_in_the_ledger(desk: Desk) -> None:
    """From the queue to delivery, each change of state left a record under its message."""
    queued = desk.enqueue()
    (row,) = desk.claim()
    desk.write(lambda tx: tx.deliveries.dead(row.id, row.fence, "refused"))
    desk.write(lambda tx: tx.deliveries.requeue(row.id, "ann"))
    (row,) = desk.claim()
    desk.write(lambda tx: tx.deliveries.complete(row.id, row.fence))
    records = desk.store.read(lambda tx: tx.audit.of_message(queued.message_id))
    assert [record.kind.removeprefix("delivery.") for record in records] == [
        "enqueued",
        "leased",
        "dead",
        "waiting",
        "leased",
        "delivered",
    ]
    assert records[3].actor == "ann"
    assert {record.delivery_id for record in records} == {queued.id}


def test_sent_resources_are_known_by_destination(desk: Desk) -> None:
    """Only what was delivered counts as sent, and only where it was delivered."""
    desk.enqueue()

    def sent(destination: str) -> bool:
        return desk.store.read(lambda tx: tx.deliveries.was_delivered(destination, "CareTeam/t1"))

    assert not sent("hub")
    (row,) = desk.claim()
    desk.write(lambda tx: tx.deliveries.complete(row.id, row.fence))
    assert sent("hub")
    assert not sent("mercy")


def test_two_workers_never_hold_the_same_delivery(store_url: str) -> None:
    """Claims through two stores at once give each delivery to one of them."""
    with Store.open(store_url) as one, Store.open(store_url) as two:
        desk = Desk(one)
        for n in range(30):
            desk.enqueue(f"m{n}")
        claims = [
            store.write(lambda tx: tx.deliveries.claim("w", 2, {"hub": 100}, 60))
            for _ in range(20)
            for store in (one, two)
        ]
        got = [row.id for claim in claims for row in claim.result(30).rows]
    assert len(got) == len(set(got)) == 30


def test_lines_of_merged_members_become_one(desk: Desk) -> None:
    """What was accepted under either id is delivered before what is accepted after the merger."""
    keys = {Key("", "identifier", f"Patient|http://x.example|{n}"): n for n in ("stays", "goes")}
    desk.write(lambda tx: tx.crosswalk.link(keys, source="mercy"))
    under_way, old = desk.enqueue("goes"), desk.enqueue("goes")
    own = desk.enqueue("stays")
    assert [row.id for row in desk.claim(1)] == [under_way.id]
    desk.write(lambda tx: tx.crosswalk.merge("stays", "goes"))
    new = desk.enqueue("stays")
    assert desk.claim() == []  # one is under way already
    assert desk.write(lambda tx: tx.deliveries.complete(under_way.id, 1))
    arrived = []
    for _ in range(3):
        (row,) = desk.claim()
        arrived.append(row.id)
        assert desk.write(lambda tx, row=row: tx.deliveries.complete(row.id, row.fence))
    assert arrived == [own.id, old.id, new.id]
    assert desk.store.read(lambda tx: tx.deliveries.full(["hub"], 1)) == frozenset()


def test_a_destination_is_full_when_so_many_stand_in_line(desk: Desk) -> None:
    """Only what waits or is under way counts, not what arrived."""
    rows = [desk.enqueue(f"m{number}") for number in range(3)]
    assert desk.store.read(lambda tx: tx.deliveries.full(["hub", "mercy"], 3)) == {"hub"}
    assert desk.store.read(lambda tx: tx.deliveries.full(["hub"], 4)) == frozenset()
    (row,) = desk.claim(1)
    assert row.id in {one.id for one in rows}
    desk.write(lambda tx: tx.deliveries.complete(row.id, row.fence))
    assert desk.store.read(lambda tx: tx.deliveries.full(["hub"], 3)) == frozenset()
