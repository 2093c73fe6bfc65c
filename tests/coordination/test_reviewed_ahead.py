"""A review worked out ahead of the turn ends as one in it, and what changed between is seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from review_rig import Rig, goal, patient, plan, rig, seat, team

from engine.ahead import Looking
from engine.coordination import reactions
from engine.deliver.foresight import Foresight
from engine.deliver.ports import Withhold
from engine.deliver.turn import Desk, Turned
from engine.sending import Sending, destinations
from engine.store import Store, Transaction

T = TypeVar("T")
HOLD = "  review: {outcomes: {frequency-disagreement: hold, member-missing: task}}"
FREE = {"hub": 8, "mercy": 8, "lakeside": 8}


class NeverAhead(Store):
    """A record that works everything out in its turn, as one with many writers does."""

    def write(self, run: Callable[[Transaction], T], ahead: Looking | None = None) -> Future[T]:
        return super().write(run)


def told(place: Rig, step: str) -> None:
    """Let one thing happen, a moment after what happened before; deliveries may overtake timers."""
    place.clock.advance(1)
    system, _, what = step.partition(" ")
    match what.split():
        case ["goal"]:
            place.tell(system, goal(), review=False)
        case ["team", *with_her]:
            who = seat("Patient/avery", "116154003", "Patient") if with_her else seat("", "", "")
            place.tell(system, team(who), review=False)
        case ["plan", frequency]:
            place.tell(system, plan(f"of-{system}", int(frequency)), review=False)
        case ["deliver"]:
            place.deliver()
        case ["timers"]:
            place.timers()


def outcome(place: Rig) -> tuple[Any, ...]:
    """Return what a record holds in the end, without the ids that chance has drawn."""
    rows = place.store.read(lambda tx: tx.deliveries.search(limit=1000))
    kinds = place.store.read(lambda tx: Counter(each.kind for each in tx.audit.records()))
    return (
        sorted((i["status"], i["detail"], i["_version"]) for i in place.on_record("DetectedIssue")),
        sorted((task["status"], task["_version"]) for task in place.on_record("Task")),
        sorted((row.destination, row.type, row.state, row.reason or "") for row in rows),
        sorted((one.system, one.resource["resourceType"]) for one in place.arrived),
        kinds,
    )


STEPS = [
    *(f"{name} {what}" for name in ("mercy", "lakeside") for what in ("plan 1", "plan 2", "goal")),
    "mercy team with",
    "any deliver",
    "any timers",
]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(STEPS), min_size=2, max_size=10))
def test_ahead_or_in_the_turn_all_ends_the_same(steps: list[str]) -> None:
    """Findings, tasks, what is held, what arrived and the ledger are those of reviews in turns."""
    ends = []
    for kind in (Store, NeverAhead):
        with TemporaryDirectory() as folder, rig(Path(folder), HOLD, kind=kind) as place:
            place.tell("mercy", patient("mercy"))
            place.tell("lakeside", patient("lakeside"))
            for step in (*steps, "any deliver", "any timers", "any deliver"):
                told(place, step)
            ends.append(outcome(place))
    assert ends[0] == ends[1]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Rig]:
    """Return a rig in which the clinic's plan is on record, reviewed and delivered."""
    with rig(tmp_path, HOLD) as built:
        built.tell("mercy", patient("mercy"))
        built.tell("lakeside", patient("lakeside"), plan("b", 1))
        built.clock.advance(1)
        built.deliver()
        built.clock.advance(1)
        yield built


def turn(place: Rig, between: Callable[[Transaction], object] = lambda _: None) -> Turned:
    """Do one turn of a worker; `between` happens after its look, ahead of it."""
    sending = Sending(place.project)
    desk = Desk("w", sending.judge, sending.delivered, destinations(place.project.config),
                lambda: 0.0, 10.0, 8)  # fmt: skip
    ahead = Foresight(sending.judge, FREE, 8, brief=sending.brief)
    work = desk.turn([], FREE, foresight=ahead)

    def both(tx: Transaction) -> Turned:
        between(tx)
        return work(tx)

    return place.store.write(both, ahead).result(30)


def of_plans(turned: Turned) -> list[str]:
    """Return what a turn lets leave of plans."""
    return [one.delivery.destination for one in turned.tasks if one.delivery.type == "CarePlan"]


def held(place: Rig) -> set[str]:
    """Return why what is held is held."""
    return {
        row.reason or "" for row in place.store.read(lambda tx: tx.deliveries.search(state="held"))
    }


def test_what_is_reviewed_ahead_is_not_read_again_in_the_turn(place: Rig) -> None:
    """The turn decodes nothing: it finds worked out what the look has found."""
    place.tell("mercy", plan("a", 1), review=False)
    place.clock.advance(1)
    decoded: list[str] = []
    turned = turn(place, lambda tx: _noting(tx, decoded))
    assert of_plans(turned)
    assert decoded == []


def _noting(tx: Transaction, decoded: list[str]) -> None:
    """Note which bodies a review asks the record for."""
    current = tx.resources.current

    def noted(names: Any) -> Any:
        listed = list(names)
        decoded.extend(kind for kind, _ in listed)
        return current(listed)

    tx.resources.__dict__["current"] = noted


def test_a_plan_that_changes_after_the_look_is_reviewed_as_it_is(place: Rig) -> None:
    """The look saw two plans that agree; in the turn they disagree, and none leaves."""
    place.tell("mercy", plan("a", 1), review=False)
    place.clock.advance(1)

    def disagreeing(tx: Transaction) -> None:
        (row,) = [r for r in tx.resources.of_type("CarePlan") if r.system == "lakeside"]
        body = row.body.replace(b'"frequency":1', b'"frequency":3')
        assert body != row.body
        tx.resources.put("CarePlan", row.id, body, member=row.member, system="lakeside")

    assert of_plans(turn(place, disagreeing)) == []
    assert held(place) == {"review-hold"}


def test_what_another_reacts_to_meanwhile_is_not_reacted_to_twice(place: Rig) -> None:
    """The timer that goes off between look and turn did the review: the hold sees its findings."""
    place.tell("mercy", plan("a", 2), review=False)
    place.clock.advance(1)

    def goes_off(tx: Transaction) -> None:
        for timer in tx.timers.of_kind(reactions.KIND):
            reactions.react(tx, place.project, timer)
            tx.timers.finish(timer.key)

    assert of_plans(turn(place, goes_off)) == []
    assert "frequency-disagreement" in place.findings()
    done = place.store.read(lambda tx: tx.audit.of_kind("timer.done"))
    assert {issue["_version"] for issue in place.on_record("DetectedIssue")} == {1}
    place.timers()
    assert place.store.read(lambda tx: tx.audit.of_kind("timer.done")) == done


def test_a_look_puts_nothing_on_record(place: Rig) -> None:
    """What a look finds to hold is written by the turn; the look itself can write nothing."""
    place.tell("mercy", plan("a", 2), review=False)
    place.clock.advance(1)
    sending = Sending(place.project)
    ahead = Foresight(sending.judge, FREE, 8, brief=sending.brief)
    place.store.write(lambda tx: None, ahead).result(30)
    assert place.findings() == {}
    verdicts: list[object] = []

    def judged(tx: Transaction) -> None:
        rows = tx.deliveries.search(state="waiting")
        verdicts.extend(sending.judge(tx, row) for row in rows if row.type == "CarePlan")

    place.store.write(judged).result(30)
    assert verdicts
    assert all(verdict == Withhold("review-hold") for verdict in verdicts)
