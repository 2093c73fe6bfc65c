"""The guide on who coordinates, on treatments that conflict, and on one view for who treats."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from review_rig import Rig, consent, goal, patient, plan, rig, seat, team
from valley import NPI, NUMBERS, Valley, reference, valley

SNOMED = "http://snomed.info/sct"
NUCC = "http://nucc.org/provider-taxonomy"
ROLE_CODE = "http://terminology.hl7.org/CodeSystem/v3-RoleCode"
MEMBER = seat("Patient/avery", "116154003", "Patient")

GROUPS: dict[str, tuple[str, tuple[str, str], str]] = {
    "behavioral health": ("59944000", (NUCC, "103T00000X"), "Psychologist"),
    "physical health": ("82296001", (NUCC, "208000000X"), "Pediatrician"),
    "specialty": ("17561000", (NUCC, "207RC0000X"), "Heart doctor"),
    "therapy": ("159026005", (NUCC, "235Z00000X"), "Speech therapist"),
    "educational and community supports": ("159003003", (NUCC, "163WS0200X"), "School liaison"),
    "family": ("58626002", (ROLE_CODE, "GUARD"), "Grandmother"),
}
"""Of each group a role: as providers write it (SNOMED CT), as plans do, and in words."""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Rig]:
    """Return a rig in which a hospital and a clinic know the girl."""
    with rig(tmp_path) as built:
        for system in ("mercy", "lakeside"):
            built.tell(system, patient(system), goal())
        yield built


def told_of_role(place: Valley, sender: str, reader: str, role: dict[str, Any]) -> dict[str, Any]:
    """Let a system send a team with one role; return the role as it reaches another system."""
    subject = "Patient/avery"
    if sender == "hub":
        subject = f"Patient/{place.entity('Patient/avery', 'mercy')}"
    member = {"identifier": {"system": NPI, "value": NUMBERS["lakeside"]}, "type": "Organization"}
    message = {
        **team({"role": [role], "member": member}, id="roles"),
        "subject": {"reference": subject},
    }
    if sender != "hub":
        message["participant"][0]["member"] = reference("lakeside")
    response = place.send(sender, "PUT", "/fhir/CareTeam/roles", message)
    assert response.is_success, response.text
    (found,) = [
        one.resource
        for one in place.deliver(100)
        if one.system == reader and one.resource["resourceType"] == "CareTeam"
    ]
    role_told: dict[str, Any] = found["participant"][0]["role"][0]
    return role_told


def codes(role: dict[str, Any]) -> set[tuple[str, str]]:
    return {(one["system"], one["code"]) for one in role.get("coding", ())}


@pytest.mark.parametrize("group", GROUPS)
def test_roles_of_every_group_are_translated_both_ways(tmp_path: Path, group: str) -> None:
    """From SNOMED CT to NUCC or v3 RoleCode and back; what is only words stays what it is."""
    snomed, theirs, words = GROUPS[group]
    with valley(tmp_path) as place:
        place.settle()
        ours = {"coding": [{"system": SNOMED, "code": snomed}]}
        assert theirs in codes(told_of_role(place, "mercy", "hub", ours))
        system, code = theirs
        back = {"coding": [{"system": system, "code": code}]}
        assert (SNOMED, snomed) in codes(told_of_role(place, "hub", "mercy", back))
        assert told_of_role(place, "mercy", "hub", {"text": words})["text"] == words
        assert told_of_role(place, "hub", "mercy", {"text": words})["text"] == words


def test_the_team_is_seen_by_the_six_groups(place: Rig) -> None:
    """Teams of several systems are one, in the groups of the guide, whoever wrote the role how."""
    seats = []
    for index, (snomed, _, words) in enumerate(GROUPS.values()):
        seats.append({**seat("x", snomed, words), "member": {"display": f"Person {index}"}})
    place.tell("mercy", team(*seats[:3], MEMBER))
    place.tell("lakeside", team(*seats[3:], MEMBER))
    page = summary(place, "hub")["team"]
    positions = [page.index(f"{group.capitalize()} · Person") for group in GROUPS]
    assert positions == sorted(positions)


def test_a_team_that_leaves_the_member_out_is_reported(place: Rig) -> None:
    """Collaboration always includes the member: a team without her is a finding, with her none."""
    doctor = {**seat("x", "82296001", "Pediatrician"), "member": {"display": "Priya Raman"}}
    place.tell("mercy", team(doctor))
    assert "member-missing" in place.findings()
    place.tell("mercy", team(doctor, MEMBER))
    assert "member-missing" not in place.findings()


def finding(place: Rig, code: str) -> dict[str, Any]:
    """Return the finding of a kind; what it rests on was written by two systems."""
    found = place.findings()[code]
    rows = place.store.read(
        lambda tx: [tx.resources.get(*one["reference"].split("/")) for one in found["implicated"]]
    )
    assert {row.system for row in rows if row} == {"mercy", "lakeside"}
    return found


def exercise(words: str) -> dict[str, Any]:
    """Return an activity in words."""
    return {"detail": {"kind": "ServiceRequest", "status": "scheduled", "code": {"text": words}}}


def medication(id: str, milligrams: int) -> dict[str, Any]:
    """Return a prescription of so much once a day."""
    dose = {"doseQuantity": {"value": milligrams, "unit": "mg",
                             "system": "http://unitsofmeasure.org", "code": "mg"}}  # fmt: skip
    return {
        "resourceType": "MedicationRequest",
        "id": id,
        "status": "active",
        "intent": "order",
        "subject": {"reference": "Patient/avery"},
        "medicationCodeableConcept": {"text": "Methylphenidate"},
        "dosageInstruction": [
            {
                "timing": {"repeat": {"frequency": 1, "period": 1, "periodUnit": "d"}},
                "doseAndRate": [dose],
            }
        ],
    }


def test_overlapping_active_plans_are_found(place: Rig) -> None:
    """Two active plans of one category at the same time are reported, each with its system."""
    place.tell("mercy", plan("a"))
    place.tell("lakeside", plan("b", activity=[exercise("Reading aloud")]))
    assert "“Plan a” (Mercy)" in finding(place, "plan-overlap")["detail"]


def test_the_same_activity_in_two_plans_is_found(place: Rig) -> None:
    """Speech therapy here and speech therapy there is reported once."""
    place.tell("mercy", plan("a", 2))
    place.tell("lakeside", plan("b", 2))
    assert "Speech therapy" in finding(place, "activity-duplicate")["detail"]


def test_activities_that_contradict_each_other_are_found(place: Rig) -> None:
    """Rest in one plan and exercise in the other are reported."""
    place.tell("mercy", plan("a", activity=[exercise("Strict bed rest")]))
    place.tell("lakeside", plan("b", activity=[exercise("Daily exercise")]))
    found = finding(place, "activity-contradiction")
    assert found["detail"].startswith("One plan asks for rest, another for exercise.")


def test_systems_that_disagree_on_frequency_are_found(place: Rig) -> None:
    """Twice a week here, once there: the prescribed service is not the same in both places."""
    place.tell("mercy", plan("a", 2))
    place.tell("lakeside", plan("b", 1))
    assert "2 per week" in finding(place, "frequency-disagreement")["detail"]


def test_systems_that_disagree_on_quantity_are_found(place: Rig) -> None:
    """Ten milligrams here, twenty there: the dosage is not the same in both places."""
    place.tell("mercy", medication("m1", 10))
    place.tell("lakeside", medication("m2", 20))
    detail = finding(place, "quantity-disagreement")["detail"]
    assert "10 mg" in detail
    assert "20 mg" in detail


def test_goals_without_activities_are_found(place: Rig) -> None:
    """A goal that no activity serves is reported, until one does."""
    bare = plan("a")
    del bare["activity"]
    place.tell("mercy", bare)
    assert unserved(place) == 2  # the hospital's goal and the clinic's
    place.tell("mercy", plan("a"))
    assert unserved(place) == 1


def unserved(place: Rig) -> int:
    """Count the open findings about goals that no activity serves."""
    return sum(
        issue["status"] == "preliminary" and "goal-without-activity" in str(issue["code"])
        for issue in place.on_record("DetectedIssue")
    )


def summary(place: Rig, system: str) -> dict[str, str]:
    """Return the narrative of each section of the summary that a system is told."""
    id = place.on_record("Patient")[0]["id"] if system == "hub" else "avery"
    bundle = place.send(system, "GET", f"/fhir/Patient/{id}/$coordination-summary").json()
    sections = bundle["entry"][0]["resource"]["section"]
    return {one["code"]["coding"][0]["code"]: one["text"]["div"] for one in sections}


def test_a_treating_provider_has_one_view_of_all_services(place: Rig) -> None:
    """Teams, plans, findings, consents, communications and requests of both systems, in one."""
    release = consent() | {
        "policy": [
            {
                "uri": "http://hl7.org/fhir/us/davinci-hrex/StructureDefinition-hrex-consent.html#sensitive"
            }
        ]
    }
    place.tell("mercy", release)
    place.tell("mercy", team({**seat("x", "82296001", "Pediatrician"),
                              "member": {"display": "Priya Raman"}}, MEMBER))  # fmt: skip
    place.tell("mercy", plan("a", 2))
    place.tell("lakeside", plan("b", 1))
    message = {
        "resourceType": "Communication",
        "id": "word",
        "status": "completed",
        "subject": {"reference": "Patient/avery"},
        "payload": [{"contentString": "The school asks for a meeting"}],
    }
    order = {
        "resourceType": "ServiceRequest",
        "id": "order",
        "status": "active",
        "intent": "order",
        "code": {"text": "Hearing test"},
        "subject": {"reference": "Patient/avery"},
    }
    place.tell("mercy", message, order)
    place.deliver()
    told = summary(place, "lakeside")
    assert "Priya Raman" in told["team"]
    assert "Plan a" in told["plans"]
    assert "Plan b" in told["plans"]
    assert "Different frequency" in told["findings"]
    assert "llows disclosure" in told["consents"]
    assert "The school asks for a meeting" in told["communications"]
    assert "Hearing test" in told["requests"]
