"""Reviews on the running engine: findings written once, settled, held for, handed over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from review_rig import Rig, consent, goal, patient, plan, rig, seat, team

from engine.fhir.json import loads
from engine.rules.consent.codings import CONFIDENTIALITY
from engine.validate import validate

HOLD = "  review: {outcomes: {frequency-disagreement: hold}}"
COORDINATOR = """  review:
    coordinator: {system: http://hub.example/staff, value: c-7, name: Care coordinator}
"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Rig]:
    """Return a rig in which both providers know the girl."""
    with rig(tmp_path) as built:
        known(built)
        yield built


def known(place: Rig) -> None:
    """Let both providers say who she is and what she is to reach."""
    for system in ("mercy", "lakeside"):
        place.tell(system, patient(system), goal())


def versions(place: Rig) -> list[tuple[str, int]]:
    """Return status and version of every finding."""
    return sorted((i["status"], i["_version"]) for i in place.on_record("DetectedIssue"))


def test_two_systems_disagree_and_the_finding_names_both(place: Rig) -> None:
    """Twice a week here and once there is a valid DetectedIssue with both plans as evidence."""
    place.tell("mercy", plan("a", 2))
    place.tell("lakeside", plan("b", 1))
    issue = place.findings()["frequency-disagreement"]
    assert issue["detail"] == (
        "Speech therapy: 2 per week in “Plan a” (Mercy), 1 per week in “Plan b” (Lakeside)."
    )
    assert len(issue["implicated"]) == 2
    rows = place.store.read(lambda tx: tx.resources.of_type("DetectedIssue"))
    assert all(validate(loads(row.body)) == [] for row in rows)


def test_the_same_finding_is_not_written_again(place: Rig) -> None:
    """Whatever else arrives, a finding on record stays at its first version."""
    place.tell("mercy", plan("a", 2))
    place.tell("lakeside", plan("b", 1))
    before = versions(place)
    place.tell("mercy", plan("a", 2, description="said in other words"))
    place.tell("lakeside", goal())
    assert versions(place) == before


def test_a_finding_bears_the_labels_that_its_plans_got_later(place: Rig) -> None:
    """A plan that becomes restricted makes what was found of it restricted, in the same words."""
    place.tell("mercy", plan("a", 2))
    place.tell("lakeside", plan("b", 1))
    place.clock.advance(1)
    restricted = {"system": CONFIDENTIALITY, "code": "R"}
    place.tell("mercy", plan("a", 2, meta={"security": [restricted]}))
    issue = place.findings()["frequency-disagreement"]
    assert restricted in issue["meta"]["security"]
    before = versions(place)
    place.tell("mercy", plan("a", 2, meta={"security": [restricted]}, description="more"))
    assert versions(place) == before


def test_a_finding_that_is_gone_is_settled_and_may_come_back(place: Rig) -> None:
    """Mended, it is final with what ended it, its Task taken back; later both are open again."""
    place.tell("mercy", plan("a", 2))
    place.tell("lakeside", plan("b", 1))
    (task,) = place.on_record("Task")
    assert task["status"] == "requested"
    place.tell("lakeside", plan("b", 2))
    done = [
        issue
        for issue in place.on_record("DetectedIssue")
        if issue["code"]["text"] == "Different frequency"
    ]
    assert [issue["status"] for issue in done] == ["final"]
    assert "No longer found" in done[0]["mitigation"][0]["action"]["text"]
    assert [t["status"] for t in place.on_record("Task")] == ["cancelled"]
    place.tell("lakeside", plan("b", 1))
    again = place.findings()["frequency-disagreement"]
    assert again["id"] == done[0]["id"]
    assert "mitigation" not in again
    (asked,) = place.on_record("Task")
    assert (asked["status"], asked["id"]) == ("requested", task["id"])
    assert "statusReason" not in asked


def test_what_a_person_closed_stays_closed(place: Rig) -> None:
    """A finding that the coordinating plan has closed with a reason is not opened again."""
    place.tell("mercy", plan("a", 2))
    place.tell("lakeside", plan("b", 1))
    issue = place.findings()["frequency-disagreement"]
    rows = place.store.read(lambda tx: tx.resources.of_type("DetectedIssue"))
    body = next(loads(row.body) for row in rows if row.id == issue["id"])
    body |= {"status": "final", "mitigation": [{"action": {"text": "Agreed with both"}}]}
    body["patient"] = {"reference": f"Patient/{body['patient']['reference'].split('/')[1]}"}
    answer = place.send("hub", "PUT", f"/fhir/DetectedIssue/{issue['id']}", body)
    assert answer.status_code < 300, answer.text
    place.timers()
    place.tell("mercy", plan("a", 2, description="more"))
    assert "frequency-disagreement" not in place.findings()


def test_the_task_goes_to_the_coordinator_and_says_nothing(tmp_path: Path) -> None:
    """The Task names its owner from config and the finding, and no word of the plans."""
    with rig(tmp_path, COORDINATOR) as place:
        known(place)
        place.tell("mercy", plan("a", 2))
        place.tell("lakeside", plan("b", 1))
        (task,) = place.on_record("Task")
        assert task["owner"]["identifier"] == {"system": "http://hub.example/staff", "value": "c-7"}
        issue = place.findings()["frequency-disagreement"]
        assert task["focus"] == {"reference": f"DetectedIssue/{issue['id']}"}
        assert "peech" not in str(task)
        sent = [one.resource["resourceType"] for one in place.deliver()]
        assert "Task" not in sent


def test_a_plan_that_a_finding_holds_does_not_leave(tmp_path: Path) -> None:
    """Under `hold` neither plan is delivered, even by a worker that is faster than the review."""
    with rig(tmp_path, HOLD) as place:
        known(place)
        place.tell("mercy", plan("a", 2))
        place.deliver()
        place.tell("lakeside", plan("b", 1), review=False)
        sent = [one for one in place.deliver() if one.resource["resourceType"] == "CarePlan"]
        assert sent == []
        place.timers()
        held = place.store.read(lambda tx: tx.deliveries.search(state="held"))
        assert {row.reason for row in held} == {"review-hold"}
        place.tell("lakeside", plan("b", 2))
        sent = [one for one in place.deliver() if one.resource["resourceType"] == "CarePlan"]
        assert sent
        assert place.store.read(lambda tx: tx.deliveries.search(state="held")) == []


def test_a_finding_leaves_only_under_consent(tmp_path: Path) -> None:
    """A route for findings carries none without consent, and under one that covers the clinic."""
    routes = "  - {from: hub, to: lakeside, types: [DetectedIssue], purpose: COC}"
    with rig(tmp_path, routes=routes) as place:
        known(place)
        place.tell("mercy", plan("a", 2))
        place.tell("lakeside", plan("b", 1))
        assert place.findings()
        left = [one.resource["resourceType"] for one in place.deliver()]
        assert "DetectedIssue" not in left
        kinds = place.store.read(lambda tx: [record.kind for record in tx.audit.records()])
        assert "finding.kept" in kinds


def test_a_team_without_the_member_is_found(place: Rig) -> None:
    """CareTeams are reviewed as well, across systems."""
    role = seat("Practitioner/raman", "82296001", "Pediatrician")
    doctor = {
        "resourceType": "Practitioner",
        "id": "raman",
        "identifier": [{"system": "http://hl7.org/fhir/sid/us-npi", "value": "1234567893"}],
        "name": [{"family": "Raman", "given": ["Priya"]}],
    }
    place.tell("mercy", doctor, team(role))
    assert "member-missing" in place.findings()
    place.tell("lakeside", team(seat("Patient/avery", "116154003", "Patient"), id="other"))
    assert "member-missing" not in place.findings()


def rules(folder: Path, outcome: str, check: str = "description.exists()") -> Path:
    """Write one rule about plans, and return its folder."""
    made = folder / "rules"
    made.mkdir(exist_ok=True)
    (made / "x.yaml").write_text(f"""
rules:
  - name: plan-is-described
    when: {{type: CarePlan, path: status = 'active'}}
    check: {check}
    outcome: {outcome}
    message: An active plan has a description.
""")
    return made


def sent(place: Rig, resource: dict[str, Any]) -> tuple[int, str]:
    """Send a plan as the hospital; return the status and the codes of the answer."""
    answer = place.send("mercy", "PUT", f"/fhir/CarePlan/{resource['id']}", resource)
    return answer.status_code, answer.text


def test_a_rule_that_rejects_refuses_with_its_name(tmp_path: Path) -> None:
    """422, the rule's code, name and message; a plan that meets the rule passes."""
    with rig(tmp_path, rules=rules(tmp_path, "reject")) as place:
        known(place)
        status, text = sent(place, plan("a"))
        assert status == 422
        assert "A020" in text
        assert "plan-is-described: An active plan has a description." in text
        assert sent(place, plan("a", description="x"))[0] < 300


def test_a_rule_that_holds_parks_the_plan(tmp_path: Path) -> None:
    """Held with the rule's code, and nothing is delivered."""
    with rig(tmp_path, rules=rules(tmp_path, "hold")) as place:
        known(place)
        place.deliver()
        assert "A021" in sent(place, plan("a"))[1]
        assert place.deliver() == []
        (unit,) = place.store.read(lambda tx: tx.units.held("rule-hold"))
        assert unit.type == "CarePlan"


def test_a_rule_that_crashes_holds(tmp_path: Path) -> None:
    """A rejecting rule that cannot be computed holds instead, with a code and no traceback."""
    with rig(tmp_path, rules=rules(tmp_path, "reject", "title + 1 = 2")) as place:
        known(place)
        status, text = sent(place, plan("a"))
        assert status < 300
        assert "A022" in text
        assert "Traceback" not in text


@pytest.mark.parametrize("outcome", ["warn", "task"])
def test_a_rule_that_tells_writes_a_finding(tmp_path: Path, outcome: str) -> None:
    """warn lets the plan pass and writes a DetectedIssue; task also a Task."""
    with rig(tmp_path, rules=rules(tmp_path, outcome)) as place:
        known(place)
        place.tell("mercy", plan("a"))
        assert place.findings()["rule"]["detail"] == "An active plan has a description."
        assert len(place.on_record("Task")) == (1 if outcome == "task" else 0)
        place.tell("mercy", plan("a", description="x"))
        assert "rule" not in place.findings()


def test_without_coordination_nothing_is_reviewed(tmp_path: Path) -> None:
    """An engine that only carries writes no findings."""
    with rig(tmp_path) as place:
        known(place)
        place.tell("mercy", plan("a"), review=False)
        assert place.on_record("DetectedIssue") == []


def test_a_consent_does_not_set_off_findings(place: Rig) -> None:
    """Messages that change nothing about plans or teams change no finding."""
    place.tell("mercy", plan("a", 2))
    before = versions(place)
    place.tell("mercy", consent())
    assert versions(place) == before
