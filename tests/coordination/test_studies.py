"""Reviews read and find the same with what they know already as without it."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from review_rig import Rig, consent, goal, patient, plan, rig, seat, team

from engine.coordination.member_record import MemberRecord, record_of
from engine.coordination.review import findings_of, reviewed
from engine.coordination.studies import MOST_FOUND, Studied, Studies, Version
from engine.rules.finding import Finding
from engine.store import Transaction

RAMAN = {
    "resourceType": "Practitioner",
    "id": "raman",
    "identifier": [{"system": "http://hl7.org/fhir/sid/us-npi", "value": "1234567893"}],
    "name": [{"family": "Raman", "given": ["Priya"]}],
}
PLAN = Version("CarePlan", "1", 1, "2026-01-01T00:00:00.000000Z")


def member(place: Rig) -> str:
    """Return the canonical id of the girl."""
    row, *_ = place.store.read(lambda tx: tx.resources.of_type("Patient"))
    current = place.store.read(lambda tx: tx.crosswalk.current(row.id))
    return current or row.id


def told(place: Rig, step: str) -> None:
    """Let one thing happen, a moment after what happened before."""
    place.clock.advance(1)
    system, _, what = step.partition(" ")
    match what.split():
        case ["patient"]:
            place.tell(system, patient(system))
        case ["goal"]:
            place.tell(system, goal())
        case ["doctor"]:
            place.tell(system, RAMAN)
        case ["team"]:
            place.tell(system, team(seat("Patient/avery", "116154003", "Patient")))
        case ["plan", frequency]:
            place.tell(system, plan(f"of-{system}", int(frequency)))
        case ["consent"]:
            place.tell(system, consent())


STEPS = [
    f"{system} {what}"
    for system in ("mercy", "lakeside")
    for what in ("patient", "goal", "doctor", "team", "plan 1", "plan 2", "consent")
]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(STEPS), min_size=1, max_size=8))
def test_what_is_known_already_changes_no_review(steps: list[str]) -> None:
    """Whatever arrives in whatever order, a record and its findings are as if read for once."""
    with TemporaryDirectory() as folder, rig(Path(folder)) as place:
        for first in ("mercy patient", "lakeside patient"):
            told(place, first)
        for step in steps:
            told(place, step)
            place.clock.advance(1)
            id = member(place)

            def anew(tx: Transaction, id: str = id) -> tuple[MemberRecord, list[Finding]]:
                record = record_of(tx, place.project, id)
                return record, findings_of(place.project, record, tx.now)

            for _ in range(2):
                known = place.store.write(lambda tx, id=id: reviewed(tx, place.project, id))
                assert known.result(30) == place.store.read(anew)


@pytest.fixture
def kept() -> Studies:
    """Return studies that hold one plan."""
    studies = Studies(most=100)
    studies.keep(Studied.of(PLAN, "mercy", {"resourceType": "CarePlan", "id": "1"}, ()), 60)
    return studies


def test_only_the_very_version_is_known(kept: Studies) -> None:
    """Another number, or the same number put on record at another instant, is read anew."""
    assert kept.get(PLAN) is not None
    assert kept.get(PLAN._replace(number=2)) is None
    assert kept.get(PLAN._replace(at="2026-01-02T00:00:00.000000Z")) is None


def test_what_is_kept_is_bounded(kept: Studies) -> None:
    """What came first makes room; a new version takes the place of the one before it."""
    newer, other = PLAN._replace(number=2), PLAN._replace(id="2")
    kept.keep(Studied.of(newer, "mercy", {"resourceType": "CarePlan", "id": "1"}, ()), 60)
    assert kept.get(newer) is not None
    kept.keep(Studied.of(other, "mercy", {"resourceType": "CarePlan", "id": "2"}, ()), 60)
    assert (kept.get(newer), kept.get(other) is not None) == (None, True)


def test_records_are_bounded_like_what_they_hold(kept: Studies) -> None:
    """No more are kept than their number allows; none keeps trees alive that made room."""
    for number in range(MOST_FOUND + 1):
        kept.keep_record(f"member {number}", object())
    members = [f"member {number}" for number in range(MOST_FOUND + 1)]
    assert 0 < sum(kept.record(one) is not None for one in members) <= MOST_FOUND
    other = Studied.of(PLAN._replace(id="2"), "mercy", {"resourceType": "CarePlan", "id": "2"}, ())
    kept.keep(other, 60)
    assert not any(kept.record(one) for one in members)


def test_what_was_found_holds_for_a_moment(kept: Studies) -> None:
    """The same record is not reviewed twice at once; another one, or the same later, is."""
    calls: list[str] = []
    one, other = object(), object()

    def find(stamp: str | None, second: int, project: object = one) -> None:
        at = f"2026-01-01T00:00:0{second}.000000Z"
        found = [Finding("rule", "as it was found", ("CarePlan/1",))]

        def looked(now: str) -> list[Finding]:
            calls.append(f"{stamp} {now[18]}")
            return found

        assert kept.findings(stamp, project, at, looked) == found

    for stamp, second in (("a", 1), ("a", 2), ("b", 2), ("b", 4), (None, 4), (None, 4)):
        find(stamp, second)
    find("b", 4, other)
    assert calls == ["a 1", "b 2", "b 4", "None 4", "None 4", "b 4"]


def test_what_is_taken_back_is_never_known(tmp_path: Path) -> None:
    """What a transaction reads of its own writing is gone with it, also for later reviews."""
    with rig(tmp_path) as place:
        for step in ("mercy patient", "mercy plan 1"):
            told(place, step)
        place.clock.advance(1)
        id = member(place)
        (row,) = place.store.read(lambda tx: tx.resources.of_type("CarePlan"))

        def failing(tx: Transaction) -> None:
            body = row.body.replace(b"Plan of-mercy", b"Never sent")
            tx.resources.put("CarePlan", row.id, body, member=id, system="mercy")
            record, _ = reviewed(tx, place.project, id)
            assert [one["title"] for one in record.of("CarePlan")] == ["Never sent"]
            raise ValueError("taken back")

        with pytest.raises(ValueError, match="taken back"):
            place.store.write(failing).result(30)
        place.tell("mercy", plan("of-mercy", 1, title="Sent"))
        record, _ = place.store.write(lambda tx: reviewed(tx, place.project, id)).result(30)
        assert [one["title"] for one in record.of("CarePlan")] == ["Sent"]
