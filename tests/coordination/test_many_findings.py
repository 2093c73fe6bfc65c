"""One member with very many plans: what goes on record stays bounded, and nothing is kept back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from review_rig import Rig, goal, patient, plan, rig

from engine.coordination.findings import finding_id, implicated, keep_findings
from engine.coordination.listing import MOST_OF_A_KIND, listed
from engine.coordination.member_record import MOST, MemberRecord, record_of
from engine.coordination.review import findings_of
from engine.fhir.json import dumps, loads
from engine.rules.finding import Finding, found, kind_of
from engine.store import Transaction

HOLD = "  review: {outcomes: {plan-overlap: hold, activity-duplicate: off}}"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Rig]:
    """Return a rig that knows the girl, and holds plans that overlap."""
    with rig(tmp_path, HOLD) as built:
        known(built)
        yield built


def known(place: Rig) -> None:
    """Let both providers say who she is and what she is to reach."""
    for system in ("mercy", "lakeside"):
        place.tell(system, patient(system), goal())


def issues(place: Rig) -> list[dict[str, Any]]:
    """Return all findings about the girl, open or not."""
    id = member(place)
    rows = place.store.read(lambda tx: tx.resources.of_member("DetectedIssue", [id]))
    return [loads(row.body) | {"_version": row.version} for row in rows]


def overlaps(place: Rig) -> list[dict[str, Any]]:
    """Return the open findings about plans that overlap."""
    return [
        issue
        for issue in issues(place)
        if issue["status"] == "preliminary" and kind_of(issue) == "plan-overlap"
    ]


def of_others(place: Rig) -> dict[str, Any]:
    """Return the one finding that tells of all that are not told one by one."""
    (rest,) = (i for i in issues(place) if i["detail"].startswith("There are"))
    return rest


def writes(place: Rig) -> int:
    """Return how many versions of findings have been written."""
    return sum(issue["_version"] for issue in issues(place))


def member(place: Rig) -> str:
    """Return the canonical id of the girl."""
    row, *_ = place.store.read(lambda tx: tx.resources.of_type("Patient"))
    return place.store.read(lambda tx: tx.crosswalk.current(row.id)) or row.id


def close(place: Rig, issue: dict[str, Any]) -> None:
    """Let a person of the coordinating plan close a finding."""
    body = {name: value for name, value in issue.items() if name != "_version"}
    body |= {"status": "final", "mitigation": [{"action": {"text": "Agreed with both"}}]}
    answer = place.send("hub", "PUT", f"/fhir/DetectedIssue/{issue['id']}", body)
    assert answer.status_code < 300, answer.text
    place.timers()


def test_one_more_plan_writes_no_more_the_more_there_are(place: Rig) -> None:
    """The pairs grow with the square of the plans; what the next plan writes does not grow."""
    written = []
    for n in range(24):
        before = writes(place)
        place.tell("mercy", plan(f"p{n}"))
        written.append(writes(place) - before)
    assert written[:5] == [1, 1, 2, 3, 4]  # the first is that no team names her
    assert written[16:] == [1] * 8
    assert len(overlaps(place)) == MOST_OF_A_KIND + 1


def test_what_is_not_told_one_by_one_is_held_all_the_same(place: Rig) -> None:
    """Every plan that overlaps is implicated by a finding, and none of them leaves."""
    place.tell("mercy", *(plan(f"p{n}") for n in range(18)), review=False)
    sent = [one for one in place.deliver() if one.resource["resourceType"] == "CarePlan"]
    place.timers()
    sent += [one for one in place.deliver() if one.resource["resourceType"] == "CarePlan"]
    assert sent == []
    plans = {f"CarePlan/{each['id']}" for each in place.on_record("CarePlan")}
    assert set[str]().union(*map(implicated, overlaps(place))) == plans
    assert of_others(place)["meta"]["tag"][0]["code"] == "hold"


def test_where_one_is_closed_the_next_is_told(place: Rig) -> None:
    """A person works through them: each that is closed makes room for another; none comes back."""
    place.tell("mercy", *(plan(f"p{n}") for n in range(16)))
    first, *_ = (issue for issue in overlaps(place) if issue["id"] != of_others(place)["id"])
    close(place, first)
    now = {issue["id"] for issue in overlaps(place)}
    assert first["id"] not in now
    assert len(now) == MOST_OF_A_KIND + 1


def test_the_finding_of_all_others_opens_again_only_for_something_new(place: Rig) -> None:
    """Closed, it stays so through other news; a plan that nobody looked at opens it again."""
    place.tell("mercy", *(plan(f"p{n}") for n in range(18)))
    close(place, of_others(place))
    place.tell("mercy", plan("p3", description="said in other words"))
    assert of_others(place)["status"] == "final"
    place.tell("mercy", plan("another"))
    assert of_others(place)["status"] == "preliminary"
    assert "mitigation" not in of_others(place)


def test_what_is_told_again_one_by_one_settles_the_one_for_all(place: Rig) -> None:
    """When plans end, the findings that are left are told, and that of the others is settled."""
    place.tell("mercy", *(plan(f"p{n}") for n in range(16)))
    place.tell("mercy", *(plan(f"p{n}", status="completed") for n in range(4, 16)))
    assert of_others(place)["status"] == "final"
    assert len(overlaps(place)) == 6


STEPS = st.tuples(
    st.sampled_from(("mercy", "lakeside")),
    st.sampled_from("abcd"),
    st.integers(1, 2),
    st.sampled_from(("active", "active", "completed")),
)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEPS, min_size=2, max_size=10))
def test_what_is_open_is_what_a_review_from_nothing_finds(steps: list[Any]) -> None:
    """However plans came, changed and ended, the open findings are those of their last state."""
    with TemporaryDirectory() as folder, rig(Path(folder)) as place:
        known(place)
        for system, id, times, status in steps:
            place.clock.advance(1)
            place.tell(system, plan(f"{system}-{id}", times, status=status))

        def anew(tx: Transaction) -> dict[str, tuple[Any, ...]]:
            record = record_of(tx, place.project, member(place))
            own = {
                type_name: resources
                for type_name, resources in record.resources.items()
                if type_name not in ("DetectedIssue", "Task")
            }
            bare = MemberRecord(record.member, own, record.people, record.systems)
            return {
                finding_id(record.member, each): (each.reason, each.evidence)
                for each in findings_of(place.project, bare, tx.now)
            }

        opened = {
            issue["id"]: (issue["detail"], tuple(sorted(implicated(issue))))
            for issue in issues(place)
            if issue["status"] == "preliminary"
        }
        assert opened == place.store.read(anew)


def issue_of(finding: Finding, status: str) -> dict[str, Any]:
    """Return a finding on record; what is final was closed by a person."""
    return {
        "resourceType": "DetectedIssue",
        "id": finding_id("m", finding),
        "status": status,
        "implicated": [{"reference": reference} for reference in finding.evidence],
    }


PAIRS = [
    found("plan-overlap", "A reason.", (f"CarePlan/{one}", f"CarePlan/{other}"))
    for one in range(6)
    for other in range(one)
]


@settings(max_examples=200)
@given(
    st.lists(st.sampled_from(PAIRS), unique=True, max_size=15),
    st.dictionaries(st.sampled_from(range(15)), st.sampled_from(("preliminary", "final"))),
    st.integers(1, 5),
)
def test_a_listing_keeps_back_nothing(
    findings: list[Finding], on_record: dict[int, str], most: int
) -> None:
    """What is listed implicates what was found, keeps what is open, and is the same again."""
    kept = {PAIRS[n]: issue_of(PAIRS[n], status) for n, status in on_record.items()}
    told = listed(MemberRecord("m", {"DetectedIssue": [*kept.values()]}), findings, most)
    assert {r for f in told for r in f.evidence} == {r for f in findings for r in f.evidence}
    alone = [finding for finding in told if not finding.grows]
    assert set(alone) <= set(findings)
    assert {f for f in findings if f in kept} <= set(alone)
    opened = [f for f in alone if f not in kept]
    already = [f for f in alone if f in kept and kept[f]["status"] == "preliminary"]
    assert not opened or len(findings) <= most or len([*opened, *already]) <= most
    assert (len(told) == len(alone)) == (set(alone) == set(findings))
    kept |= {finding: issue_of(finding, "preliminary") for finding in opened}
    again = listed(MemberRecord("m", {"DetectedIssue": [*kept.values()]}), findings, most)
    assert set(again) == set(told)


class Counted(MemberRecord):
    """A record that counts how often it is gone through."""

    gone: list[int] = []  # noqa: RUF012 - of one test

    @property
    def everything(self) -> list[Any]:
        self.gone.append(1)
        return super().everything


def test_findings_are_labelled_without_going_through_the_record_for_each(place: Rig) -> None:
    """A record is gone through once for all findings, whether they are written or stand."""
    place.tell("mercy", *(plan(f"p{n}") for n in range(8)), review=False)
    Counted.gone.clear()

    def keep(tx: Transaction) -> int:
        known = record_of(tx, place.project, member(place))
        record = Counted(known.member, known.resources, known.people, known.systems)
        findings = findings_of(place.project, known, tx.now)
        keep_findings(tx, place.project, record, findings)
        return len(findings)

    assert place.store.write(keep).result(30) == 29
    assert len(Counted.gone) == 1
    place.clock.advance(1)
    place.store.write(keep).result(30)
    assert len(Counted.gone) == 2


def test_findings_on_record_take_no_place_of_what_is_reviewed(place: Rig) -> None:
    """More findings than a review looks at resources leave all plans, goals and Tasks in sight."""
    id = member(place)

    def fill(tx: Transaction) -> None:
        for n in range(MOST + 1):
            body = dumps({"resourceType": "DetectedIssue", "id": f"i{n}", "status": "final"})
            tx.resources.put("DetectedIssue", f"i{n}", body, member=id, system="hub")

    place.store.write(fill).result(60)
    place.clock.advance(1)
    record = place.store.read(lambda tx: record_of(tx, place.project, id))
    assert len(record.of("DetectedIssue")) > MOST
    assert record.of("Goal")
    assert record.of("Patient")


def test_what_reviews_wrote_is_known_also_beside_too_much_else(place: Rig) -> None:
    """Of very many resources the last are not looked at; findings and Tasks are, all of them."""
    id = member(place)

    def fill(tx: Transaction) -> None:
        for n in range(MOST + 1):
            body = dumps({"resourceType": "Appointment", "id": f"a{n}", "status": "booked"})
            tx.resources.put("Appointment", f"a{n}", body, member=id, system="mercy")
        for kind in ("DetectedIssue", "Task"):
            tx.resources.put(kind, "own", dumps({"resourceType": kind}), member=id, system="hub")

    place.store.write(fill).result(60)
    place.clock.advance(1)
    record = place.store.read(lambda tx: record_of(tx, place.project, id))
    assert len(record.of("Appointment")) == MOST
    assert not record.of("Goal")
    assert [len(record.of(kind)) for kind in ("DetectedIssue", "Task")] == [1, 1]
