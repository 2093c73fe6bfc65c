"""References, reads and searches name the team or the sibling that each system knows."""

from __future__ import annotations

from sibling_messages import Build, Tree, from_lake, seated, send, teams_at
from sibling_town import CLINIC, KIN, LAKE, PEOPLE, patient_of
from town import Arrived


def _plan(*teams: str, id: str = "plan_1") -> Tree:
    head = {"resourceType": "CarePlan", "id": id, "status": "active", "intent": "plan"}
    text = {"status": "additional", "div": '<div xmlns="http://www.w3.org/1999/xhtml">Plan</div>'}
    named = [{"reference": f"CareTeam/{one}"} for one in teams]
    category = [{"coding": [{"system": "http://hl7.org/fhir/us/core/CodeSystem/careplan-category",
                             "code": "assess-plan"}]}]  # fmt: skip
    subject = {"reference": "Patient/77"}
    return {**head, "text": text, "category": category, "subject": subject, "careTeam": named}


def _plans(arrived: list[Arrived], system: str) -> list[list[str]]:
    kept = [one.resource for one in arrived if one.system == system]
    return [
        [team["reference"] for team in one["careTeam"]]
        for one in kept
        if one["resourceType"] == "CarePlan"
    ]


def test_a_plan_that_names_siblings_names_the_one_team(build: Build) -> None:
    """Both references mean one team to the hub; each goes home for the sibling that it meant."""
    town = build(CLINIC)
    send(town, "mercy", patient_of(), *PEOPLE, *KIN, _plan("t_a", "t_b", id="plan_0"))
    arrived = town.deliver()
    (team,) = teams_at(arrived, "hub")
    ids = sorted(f"CareTeam/{one['id']}" for one in teams_at(arrived, "clinic"))
    assert [len(plan) for plan in _plans(arrived, "hub")] == [1]
    assert [sorted(plan) for plan in _plans(arrived, "clinic")] == [ids]
    send(town, "mercy", _plan("t_a", "t_b"))
    arrived = town.deliver()
    assert _plans(arrived, "hub") == [[f"CareTeam/{team['id']}"]]
    assert [sorted(plan) for plan in _plans(arrived, "clinic")] == [ids]
    home = town.send("mercy", "GET", "/fhir/CarePlan/plan_1").json()
    assert [one["reference"] for one in home["careTeam"]] == ["CareTeam/t_a", "CareTeam/t_b"]
    send(town, "mercy", _plan("t_b", id="plan_2"))
    town.deliver()
    home = town.send("mercy", "GET", "/fhir/CarePlan/plan_2").json()
    assert home["careTeam"] == [{"reference": "CareTeam/t_b"}]


def test_a_plan_about_another_systems_team_names_its_siblings(build: Build) -> None:
    """Towards a system that keeps siblings a list names all of them."""
    town = build(LAKE)
    send(town, "lake", patient_of(system="lake"), *PEOPLE)
    town.deliver()
    teams = from_lake(town, "ann", "bob")
    send(town, "lake", _plan("L1", id="p1"))
    arrived = town.deliver()
    (plan,) = _plans(arrived, "mercy")
    assert sorted(plan) == sorted(f"CareTeam/{one['id']}" for one in teams)
    assert _plans(arrived, "hub") != []


def test_a_system_reads_and_finds_its_own_siblings(build: Build) -> None:
    """Each id gives its own sibling, and a search by member gives them all."""
    town = build()
    send(town, "mercy", patient_of(), *PEOPLE, *KIN)
    one = town.send("mercy", "GET", "/fhir/CareTeam/t_b").json()
    assert (one["id"], one["name"], seated(one)) == ("t_b", "Health", ["bob"])
    found = town.send("mercy", "GET", "/fhir/CareTeam?patient=77").json()
    assert sorted(entry["resource"]["id"] for entry in found["entry"]) == ["t_a", "t_b"]
