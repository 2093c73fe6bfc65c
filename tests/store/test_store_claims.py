"""Many deliveries at once: claimed, told from their rivals and recorded by a few statements."""

from __future__ import annotations

from desk import Desk, add_unit

from engine.store import DeliveryRow, NewDelivery, Transaction
from engine.store.claims import Claimed
from engine.store.outbox_queries import LINES
from engine.testing import ManualClock


def report(row: DeliveryRow) -> tuple[str, int]:
    return row.id, row.fence


def states(desk: Desk, *rows: DeliveryRow) -> list[str]:
    found = [desk.store.read(lambda tx, id=row.id: tx.deliveries.get(id)) for row in rows]
    return [row.state for row in found if row is not None]


def test_arrivals_of_many_lines_are_recorded_together(desk: Desk) -> None:
    """Each line whose first arrived goes on with its next, and the ledger tells of each arrival."""
    rows = [desk.enqueue(f"m{number % 3}") for number in range(6)]
    claimed = desk.claim()
    assert [row.id for row in claimed] == [row.id for row in rows[:3]]
    reports = [report(row) for row in claimed]
    assert desk.write(lambda tx: tx.deliveries.complete_all(reports)) == frozenset(reports)
    assert [row.id for row in desk.claim()] == [row.id for row in rows[3:]]
    told = desk.store.read(lambda tx: tx.audit.of_kind("delivery.delivered"))
    assert {record.delivery_id for record in told} == {row.id for row in claimed}


def test_lines_of_any_number_are_changed_by_few_statements() -> None:
    """Each size is compiled once, so sizes are few; what fills one up changes no line."""
    changes = [(("hub", f"m{number}"), 1, 1) for number in range(64)]
    asked = [LINES.of(changes[:count]) for count in range(1, 65)]
    assert len({id(statement) for statement, _ in asked}) == 7
    assert [sum(value for value in values.values() if value in (0, 1)) for _, values in asked] == [
        2 * count for count in range(1, 65)
    ]


def test_lines_are_changed_in_the_order_given(desk: Desk) -> None:
    """Who changes several statements' worth of lines locks them in one order throughout."""
    given = [("hub", member) for member in ("B", "a", "C", "b", "A")]

    def change(tx: Transaction) -> list[tuple[str, str]]:
        rows = tx.run(*LINES.of([(line, 1, 1) for line in given]))
        return [(row[0], row[1]) for row in rows]

    assert desk.write(change) == given


def test_a_lost_lease_spoils_no_other_arrival(desk: Desk, clock: ManualClock) -> None:
    """Of arrivals that are recorded together, only what a successor holds is refused."""
    for member in ("m1", "m2"):
        desk.enqueue(member)
    late = desk.claim(1)[0]
    clock.advance(31)
    taken, other = desk.claim()
    assert taken.id == late.id
    reports = [report(late), report(other)]
    assert desk.write(lambda tx: tx.deliveries.complete_all(reports)) == {report(other)}
    assert states(desk, taken, other) == ["leased", "delivered"]
    both = [report(taken), report(late)]  # the valid report counts, whichever comes first
    assert desk.write(lambda tx: tx.deliveries.complete_all(both)) == {report(taken)}


def test_more_arrivals_than_one_statement_names_are_recorded(desk: Desk) -> None:
    """A hundred arrivals are a hundred, each in its own line."""

    def work(tx: Transaction) -> None:
        for number in range(100):
            message, unit = add_unit(tx, member=f"m{number}")
            new = NewDelivery(message, unit, "hub", f"m{number}", "CareTeam", b"{}")
            tx.deliveries.enqueue(new)

    desk.write(work)
    reports = [report(row) for row in desk.claim(100)]
    assert len(desk.write(lambda tx: tx.deliveries.complete_all(reports))) == 100
    assert desk.store.read(lambda tx: tx.deliveries.depth()) == []


def test_what_does_not_fit_is_passed_over_unchanged(desk: Desk) -> None:
    """A claim takes what fits; the rest is due as before, its fence and attempts untouched."""
    first, second = desk.enqueue("m1"), desk.enqueue("m2")
    shown: list[tuple[str, int, int, str]] = []

    def fits(row: DeliveryRow) -> bool:
        shown.append((row.id, row.fence, row.attempts, row.state))
        return row.id == second.id

    claimed = desk.write(lambda tx: tx.deliveries.claim("w", 10, {"hub": 10}, 30, fits)).rows
    assert [row.id for row in claimed] == [second.id]
    assert shown == [(first.id, 1, 1, "leased"), (second.id, 1, 1, "leased")]
    (row,) = desk.claim()
    assert (row.id, row.fence, row.attempts) == (first.id, 1, 1)


def test_later_versions_are_asked_for_all_at_once(desk: Desk) -> None:
    """Only the resources are named of which the record has a later version."""
    for version in (1, 2):
        body = b'{"resourceType":"CareTeam","id":"a","version":%d}' % version
        desk.write(
            lambda tx, body=body: tx.resources.put(
                "CareTeam", "a", body, member="m1", system="mercy"
            )
        )
    asked = {"CareTeam/a": 1, "CareTeam/b": 1}
    assert desk.store.read(lambda tx: tx.deliveries.outdated(asked)) == {"CareTeam/a"}
    assert not desk.store.read(lambda tx: tx.deliveries.outdated({"CareTeam/a": 2}))
    assert not desk.store.read(lambda tx: tx.deliveries.outdated({}))


def test_a_claim_tells_what_is_on_its_way_to_the_same_destination(desk: Desk) -> None:
    """What was under way there before counts, and neither what is claimed now nor what arrived."""
    for member, destination in (("m1", "hub"), ("m2", "mercy"), ("m3", "hub"), ("m4", "hub")):
        desk.enqueue(member, destination)
    first = claim(desk, 1)
    assert first.others == frozenset()
    assert claim(desk, 1, "mercy").others == frozenset()
    second = claim(desk, 1)
    assert second.others == {("hub", "CareTeam/t1")}
    reports = [report(row) for row in (*first.rows, *second.rows)]
    desk.write(lambda tx: tx.deliveries.complete_all(reports))
    assert claim(desk, 1).others == frozenset()


def test_what_nobody_took_over_is_still_on_its_way(desk: Desk, clock: ManualClock) -> None:
    """A lease that ended counts until its delivery is claimed again; none is its own rival."""
    for member in ("m1", "m2"):
        desk.enqueue(member)
    claim(desk, 1)
    clock.advance(31)
    (late,) = claim(desk, 1).rows  # what is due longest: the one that never left
    assert (late.member, late.fence) == ("m2", 1)
    again = claim(desk, 1)
    assert [(row.member, row.fence) for row in again.rows] == [("m1", 2)]
    assert again.others == {("hub", "CareTeam/t1")}
    clock.advance(31)
    assert claim(desk, 2).others == frozenset()


def test_full_is_what_took_all_that_it_may(desk: Desk) -> None:
    """Not what others fill up, what has room for more, or what the batch left behind."""
    for number in range(4):
        desk.enqueue(f"m{number}")

    def taken(limit: int, most: int) -> tuple[int, frozenset[str]]:
        found = desk.write(lambda tx: tx.deliveries.claim("w", limit, {"hub": most}, 30))
        return len(found.rows), found.full

    assert taken(1, 2) == (1, frozenset())
    assert taken(9, 2) == (1, {"hub"})
    assert taken(9, 2) == (0, frozenset())
    assert taken(9, 1) == (0, frozenset())
    assert taken(9, 9) == (2, frozenset())


def claim(desk: Desk, limit: int, destination: str = "hub") -> Claimed:
    return desk.write(lambda tx: tx.deliveries.claim("w", limit, {destination: 10}, 30))
