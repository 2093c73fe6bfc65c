"""Systems that keep one participant in each team: siblings become one team, and several again."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from sibling_town import CLINIC, KIN, LAKE, PEOPLE, bundle_of, patient_of, project_with, sibling
from town import REPOSITORY, Arrived, Town, loaded

from engine.diagnostics import has_errors
from engine.fhir.json import loads
from engine.gather import gather_canonical
from engine.mapping_sets import Sets
from engine.message import Draft, Unit
from engine.releasing import release
from engine.replaying import Versions, deliver_again, replayed
from engine.road.judge import decision_for
from engine.road.sibling_drafts import sibling_drafts
from engine.road.trip import Trip
from engine.store import Store, Transaction
from engine.testing import ManualClock
from engine.transform.adapter import load_adapters
from engine.transform.crosswalk import reference_key
from engine.transform.family import to_wholes
from engine.transform.home import without

MAPPINGS = REPOSITORY / "mappings"
Tree = dict[str, Any]
Build = Callable[..., Town]


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Build]:
    """Build a town in which mercy keeps siblings, hub does not, and others as they are named."""
    stores: list[Store] = []

    def town(*others: tuple[str, str, str], guarded: bool = False) -> Town:
        project = project_with(others, guarded)
        clock = ManualClock()
        store = Store.open(f"sqlite:///{tmp_path / f'{len(stores)}.db'}", clock=clock)
        stores.append(store)
        return Town(project, store, clock)

    yield town
    for store in stores:
        store.close()


# --- makings ---------------------------------------------------------------------------------


def _send(town: Town, system: str, *resources: Tree, kind: str = "transaction") -> Tree:
    town.clock.advance(1)
    told = town.post(system, bundle_of(*resources, kind=kind))
    assert told.status_code == 200, told.text
    return dict(told.json())


def _teams(arrived: list[Arrived], system: str) -> list[Tree]:
    kept = [one for one in arrived if one.system == system]
    return [one.resource for one in kept if one.resource["resourceType"] == "CareTeam"]


def _on_record(town: Town) -> list[Tree]:
    rows = town.store.read(lambda tx: tx.resources.of_type("CareTeam"))
    return [loads(row.body) for row in rows]


def _who(team: Tree) -> list[str]:
    return [seat["role"][0]["text"].removeprefix("Role of ") for seat in team["participant"]]


# --- in -----------------------------------------------------------------------------------------


def test_siblings_of_one_bundle_are_one_team(build: Build) -> None:
    """Two teams of one member come in one Bundle; the hub is sent one team, once."""
    town = build()
    answer = _send(town, "mercy", patient_of(), *PEOPLE, *KIN)
    (record,) = _on_record(town)
    assert _who(record) == ["ann", "bob"]
    told = [one["response"] for one in answer["entry"]]
    assert {one["status"] for one in told} == {"201 Created"}
    assert [one["location"] for one in told[-2:]] == [f"CareTeam/{record['id']}"] * 2
    assert "as part of" in told[-1]["outcome"]["issue"][0]["diagnostics"]
    (team,) = _teams(town.deliver(), "hub")
    assert len(team["participant"]) == 2
    assert without(team) == team
    assert "name" not in team
    assert town.store.read(lambda tx: tx.units.held()) == []


def test_siblings_of_several_messages_are_one_team(build: Build) -> None:
    """Each message brings one; the team grows, whatever the order, and is the same in the end."""
    made = []
    for order in ([0, 1], [1, 0]):
        town = build()
        _send(town, "mercy", patient_of(), *PEOPLE)
        for index in order:
            _send(town, "mercy", KIN[index])
        (record,) = _on_record(town)
        made.append(without(record))
        sizes = [len(team["participant"]) for team in _teams(town.deliver(), "hub")]
        assert sizes == [1, 2]
    assert made[0] == made[1]


def test_one_that_changes_replaces_only_its_own_participant(build: Build) -> None:
    """An update of one sibling leaves the other as it is; a repeat is answered, not taken twice."""
    town = build()
    _send(town, "mercy", patient_of(), *PEOPLE, *KIN)
    _send(town, "mercy", sibling("t_a", "cat", name="Reading"))
    (record,) = _on_record(town)
    assert _who(record) == ["cat", "bob"]
    town.deliver()
    body = bundle_of(sibling("t_b", "bob", name="Nurse"))
    first = town.post("mercy", body)
    again = town.post("mercy", body)
    assert first.json() == again.json()
    assert len(_teams(town.deliver(), "hub")) == 1


def test_a_sibling_sent_again_between_others_is_a_repeat(build: Build) -> None:
    """A, B, A are two siblings and a repeat: B has touched nothing of A."""
    town = build()
    _send(town, "mercy", patient_of(), *PEOPLE)
    bodies = [bundle_of(KIN[0]), bundle_of(KIN[1])]
    first = town.post("mercy", bodies[0])
    town.post("mercy", bodies[1])
    assert town.post("mercy", bodies[0]).json() == first.json()
    (record,) = _on_record(town)
    assert _who(record) == ["ann", "bob"]
    changed = bundle_of(sibling("t_a", "cat", name="Reading"))
    town.post("mercy", changed)
    town.post("mercy", bodies[0])
    (record,) = _on_record(town)
    assert _who(record) == ["ann", "bob"]


def test_one_that_ends_leaves_its_end_and_a_mistaken_one_nothing(build: Build) -> None:
    """Ended with a date it stays until then; entered in error it goes; nothing is lost at home."""
    town = build()
    _send(town, "mercy", patient_of(), *PEOPLE, *KIN)
    ended = sibling("t_a", "ann", status="inactive", period={"end": "2026-01-31"})
    _send(town, "mercy", ended)
    (record,) = _on_record(town)
    assert record["participant"][0]["period"] == {"end": "2026-01-31"}
    _send(town, "mercy", {**KIN[1], "status": "entered-in-error"}, sibling("t_c", "cat"))
    (record,) = _on_record(town)
    assert _who(record) == ["ann", "cat"]
    assert record["status"] == "active"
    town.deliver()
    home = [
        town.send("mercy", "GET", f"/fhir/CareTeam/{id}").json() for id in ("t_a", "t_b", "t_c")
    ]
    assert [one["status"] for one in home] == ["inactive", "entered-in-error", "active"]
    assert home[1]["name"] == "Health"
    assert all(len(one["participant"]) == 1 for one in home)


def test_what_siblings_say_differently_is_recorded(build: Build) -> None:
    """The unit that bears the team notes T021 with path and line, and no value."""
    town = build()
    told = town.post("mercy", bundle_of(patient_of(), *PEOPLE, *KIN))
    rows = town.store.read(lambda tx: tx.units.of_message(told.headers["x-message-id"]))
    notes = [note for row in rows for note in row.notes if note["code"] == "T021"]
    assert [note["path"].rpartition(".")[2] for note in notes] == ["name"]
    assert "Reading" not in json.dumps(notes)


def test_teams_of_two_members_stay_two(build: Build) -> None:
    """What makes siblings is the member: another's team is another team."""
    town = build()
    other = {**sibling("t_z", "cat"), "subject": {"reference": "Patient/78"}}
    _send(town, "mercy", patient_of(), patient_of("78", "A2"), *PEOPLE, *KIN, other)
    assert sorted(len(one["participant"]) for one in _on_record(town)) == [1, 2]


def test_one_that_turns_to_another_member_is_refused(build: Build) -> None:
    """A sibling does not slip from one member's team into another's under the same id."""
    town = build()
    _send(town, "mercy", patient_of(), patient_of("78", "A2"), *PEOPLE, *KIN)
    moved = {**KIN[0], "subject": {"reference": "Patient/78"}}
    told = _send(town, "mercy", moved, sibling("t_c", "cat"), kind="batch")
    statuses = [one["response"]["status"] for one in told["entry"]]
    assert statuses == ["409 Conflict", "201 Created"]
    assert told["entry"][0]["response"]["outcome"]["issue"][0]["details"]["coding"][0]["code"] == (
        "R020"
    )
    (record,) = _on_record(town)
    assert _who(record) == ["ann", "bob", "cat"]


def test_a_held_sibling_enters_later_and_nothing_older_overwrites(build: Build) -> None:
    """One that waits for a person enters when they come; an old version of it never returns."""
    town = build()
    _send(town, "mercy", patient_of(), *PEOPLE[:1], KIN[0])
    _send(town, "mercy", KIN[1], kind="batch")
    (record,) = _on_record(town)
    assert _who(record) == ["ann"]
    _send(town, "mercy", sibling("t_a", "ann", name="Changed"))
    _send(town, "mercy", PEOPLE[1])
    (record,) = _on_record(town)
    assert _who(record) == ["ann", "bob"]
    _send(town, "mercy", sibling("t_d", "cat", name="Old"), kind="batch")
    _send(town, "mercy", sibling("t_d", "ann", name="New"))
    _send(town, "mercy", PEOPLE[2])
    (record,) = _on_record(town)
    assert _who(record) == ["ann", "bob", "ann"]


def test_unknown_member_holds_each_and_they_come_together(build: Build) -> None:
    """Siblings of a member that nobody knows yet wait; once the member comes they are one team."""
    town = build()
    _send(town, "mercy", *PEOPLE)
    _send(town, "mercy", *KIN, kind="batch")
    assert _on_record(town) == []
    assert len(town.store.read(lambda tx: tx.units.held())) == 2
    _send(town, "mercy", patient_of())
    (record,) = _on_record(town)
    assert _who(record) == ["ann", "bob"]
    assert town.store.read(lambda tx: tx.units.held()) == []


def test_what_came_before_siblings_were_declared_is_followed_and_may_be_merged(
    build: Build,
) -> None:
    """Teams taken one by one stay so, replaced by what comes of each; a merger makes them one."""
    town = build()
    plain = Town(loaded(), town.store, town.clock)
    kin = [sibling("t-a", "ann"), sibling("t-b", "bob")]
    _send(plain, "mercy", patient_of(), *PEOPLE, *kin)
    assert len(_on_record(town)) == 2
    _send(town, "mercy", sibling("t-a", "cat"), kin[1])
    first, second = sorted(_on_record(town), key=_who)
    assert [_who(first), _who(second)] == [["bob"], ["cat"]]
    stays, goes = first["id"], second["id"]
    town.store.write(lambda tx: tx.crosswalk.merge(stays, goes)).result()
    _send(town, "mercy", sibling("t-a", "cat", name="New"))
    record = next(one for one in _on_record(town) if one["id"] == stays)
    assert _who(record) == ["cat", "bob"]


def test_a_member_whose_records_were_merged_keeps_one_team(build: Build) -> None:
    """A sibling that names the record that stays joins the team of the one that went."""
    town = build()
    _send(town, "mercy", patient_of(), patient_of("78", "A2"), *PEOPLE, KIN[0])
    keys = [reference_key("mercy", f"Patient/{id}") for id in ("78", "77")]
    town.store.write(
        lambda tx: tx.crosswalk.merge(*(tx.crosswalk.resolve([key])[key] for key in keys))
    ).result()
    _send(town, "mercy", {**KIN[1], "subject": {"reference": "Patient/78"}})
    (record,) = _on_record(town)
    assert _who(record) == ["ann", "bob"]


# --- out ----------------------------------------------------------------------------------------


def _lake_team(*who: str, **more: Any) -> Tree:
    team = sibling("L1", who[0], identifier=[{"system": "http://lake.example/team", "value": "1"}])
    team["participant"] = [sibling("", one)["participant"][0] for one in who]
    return {**team, **more}


def _lake(town: Town, *who: str, **more: Any) -> list[Tree]:
    town.clock.advance(1)
    told = town.post("lake", bundle_of(_lake_team(*who, **more)))
    assert told.status_code == 200, told.text
    return sorted(_teams(town.deliver(), "mercy"), key=_who)


def test_another_systems_team_goes_as_one_resource_for_each(build: Build) -> None:
    """A team of three goes out as three, each under an id that stays through later updates."""
    town = build(LAKE)
    _send(town, "lake", patient_of(system="lake"), *PEOPLE)
    town.deliver()
    first = _lake(town, "ann", "bob")
    assert [_who(one) for one in first] == [["ann"], ["bob"]]
    assert all("identifier" not in one for one in first)
    second = _lake(town, "cat", "bob", "ann", name="Team")
    assert [one["id"] for one in second[:2]] == [one["id"] for one in first]
    assert {one["name"] for one in second} == {"Team"}
    third = _lake(town, "cat", "bob", "ann", name="Team", status="suspended")
    assert [one["id"] for one in third] == [one["id"] for one in second]
    assert len({one["id"] for one in third}) == 3


def test_only_siblings_that_changed_are_sent(build: Build) -> None:
    """One new participant is one delivery; the same again is all of them again."""
    town = build(LAKE)
    _send(town, "lake", patient_of(system="lake"), *PEOPLE)
    town.deliver()
    assert len(_lake(town, "ann", "bob")) == 2
    assert [_who(one) for one in _lake(town, "ann", "bob", "cat")] == [["cat"]]


def test_one_that_left_is_closed_once(build: Build) -> None:
    """A participant who is gone from the team is told as inactive, and never again after."""
    town = build(LAKE)
    _send(town, "lake", patient_of(system="lake"), *PEOPLE)
    town.deliver()
    ids = {_who(one)[0]: one["id"] for one in _lake(town, "ann", "bob")}
    (closed,) = _lake(town, "ann")
    assert closed["id"] == ids["bob"]
    assert closed["status"] == "inactive"
    assert _who(closed) == ["bob"]
    assert [_who(one) for one in _lake(town, "ann", "cat")] == [["cat"]]
    back = _lake(town, "ann", "bob")
    assert {(_who(one)[0], one["status"]) for one in back} == {
        ("bob", "active"),
        ("cat", "inactive"),
    }
    assert ids["bob"] in {one["id"] for one in back}


def test_siblings_go_to_another_such_system_and_keep_their_ids(build: Build) -> None:
    """What one clinic keeps as siblings another does too: one each, closed as they close."""
    town = build(CLINIC)
    _send(town, "mercy", patient_of(), *PEOPLE, *KIN)
    first = sorted(_teams(town.deliver(), "clinic"), key=_who)
    assert [_who(one) for one in first] == [["ann"], ["bob"]]
    assert not {one["id"] for one in first} & {"t_a", "t_b"}
    _send(town, "mercy", sibling("t_a", "cat", name="Reading"))
    (changed,) = _teams(town.deliver(), "clinic")
    assert changed["id"] == first[0]["id"]
    assert _who(changed) == ["cat"]
    _send(town, "mercy", {**KIN[1], "status": "entered-in-error"})
    arrived = town.deliver()
    (mistaken,) = _teams(arrived, "clinic")
    assert (mistaken["id"], mistaken["status"]) == (first[1]["id"], "entered-in-error")
    (team,) = _teams(arrived, "hub")
    assert _who(team) == ["cat"]


def test_a_system_that_gives_its_own_ids_is_met_by_them(build: Build) -> None:
    """Where a destination calls a sibling otherwise, later updates and its own go by that id."""
    town = build(LAKE)
    _send(town, "lake", patient_of(system="lake"), *PEOPLE)
    town.deliver()

    def own_ids(seen: Arrived) -> httpx.Response | None:
        if seen.system != "mercy" or seen.resource["resourceType"] != "CareTeam":
            return None
        theirs = f"m-{_who(seen.resource)[0]}"
        location = f"http://127.0.0.1:8101/fhir/CareTeam/{theirs}/_history/1"
        return httpx.Response(201, headers={"Location": location})

    town.script = own_ids
    _lake(town, "ann", "bob")
    again = _lake(town, "ann", "bob", name="Team")
    assert [one["id"] for one in again] == ["m-ann", "m-bob"]
    _send(town, "mercy", {**again[1], "status": "suspended"})
    (record,) = _on_record(town)
    assert len(record["participant"]) == 2
    (closed,) = (one for one in _lake(town, "ann") if one["status"] == "inactive")
    assert closed["id"] == "m-bob"


def test_what_was_sent_there_comes_back_into_the_same_team(build: Build) -> None:
    """A system changes one sibling that it was sent: only that participant changes in the team."""
    town = build(LAKE)
    _send(town, "lake", patient_of(system="lake"), *PEOPLE)
    town.deliver()
    first = _lake(town, "ann", "bob", name="Team")
    changed = {
        **first[0],
        "participant": [{**first[0]["participant"][0], "period": {"start": "2026"}}],
    }
    _send(town, "mercy", changed)
    (record,) = _on_record(town)
    assert [one.get("period") for one in record["participant"]] == [{"start": "2026"}, None]
    assert record["identifier"] == [{"system": "http://lake.example/team", "value": "1"}]
    (team,) = _teams(town.deliver(), "lake")
    assert team["id"] == "L1"
    assert _who(team) == ["ann", "bob"]
    assert team["identifier"] == record["identifier"]


def test_what_another_changes_goes_home_to_each_as_it_came(build: Build) -> None:
    """The hub suspends the team: both siblings go home suspended, with their own names and ids."""
    town = build()
    _send(town, "mercy", patient_of(), *PEOPLE, *KIN)
    (team,) = _teams(town.deliver(), "hub")
    _send(town, "hub", {**team, "status": "suspended"})
    home = sorted(_teams(town.deliver(), "mercy"), key=_who)
    assert [(one["id"], one["status"], one["name"]) for one in home] == [
        ("t_a", "suspended", "Reading"),
        ("t_b", "suspended", "Health"),
    ]
    seats = [one for one in team["participant"] if one["role"][0]["text"] != "Role of bob"]
    _send(town, "hub", {**team, "status": "suspended", "participant": seats})
    (closed,) = _teams(town.deliver(), "mercy")
    assert (closed["id"], closed["status"]) == ("t_b", "inactive")


def test_a_refused_sibling_is_its_own_dead_letter(build: Build) -> None:
    """One that its destination refuses can be sent again later, whatever else arrived since."""
    town = build(LAKE)
    _send(town, "lake", patient_of(system="lake"), *PEOPLE)
    town.deliver()

    def refuse(seen: Arrived) -> httpx.Response | None:
        bad = seen.resource.get("participant") and "bob" in json.dumps(seen.resource)
        return httpx.Response(422) if seen.system == "mercy" and bad else None

    town.script = refuse
    assert [_who(one) for one in _lake(town, "ann", "bob")] == [["ann"]]
    (dead,) = town.store.read(lambda tx: tx.deliveries.search(state="dead"))
    town.store.write(lambda tx: tx.deliveries.skip(dead.id, "test")).result()
    assert [_who(one) for one in _lake(town, "ann", "bob", "cat")] == [["cat"]]
    town.script = None
    town.store.write(lambda tx: tx.deliveries.requeue(dead.id, "test")).result()
    assert [_who(one) for one in _teams(town.deliver(), "mercy")] == [["bob"]]


# --- references ---------------------------------------------------------------------------------


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
    _send(town, "mercy", patient_of(), *PEOPLE, *KIN, _plan("t_a", "t_b", id="plan_0"))
    arrived = town.deliver()
    (team,) = _teams(arrived, "hub")
    ids = sorted(f"CareTeam/{one['id']}" for one in _teams(arrived, "clinic"))
    assert [len(plan) for plan in _plans(arrived, "hub")] == [1]
    assert [sorted(plan) for plan in _plans(arrived, "clinic")] == [ids]
    _send(town, "mercy", _plan("t_a", "t_b"))
    arrived = town.deliver()
    assert _plans(arrived, "hub") == [[f"CareTeam/{team['id']}"]]
    assert [sorted(plan) for plan in _plans(arrived, "clinic")] == [ids]
    home = town.send("mercy", "GET", "/fhir/CarePlan/plan_1").json()
    assert [one["reference"] for one in home["careTeam"]] == ["CareTeam/t_a", "CareTeam/t_b"]
    _send(town, "mercy", _plan("t_b", id="plan_2"))
    town.deliver()
    home = town.send("mercy", "GET", "/fhir/CarePlan/plan_2").json()
    assert home["careTeam"] == [{"reference": "CareTeam/t_b"}]


def test_a_plan_about_another_systems_team_names_its_siblings(build: Build) -> None:
    """Towards a system that keeps siblings a list names all of them."""
    town = build(LAKE)
    _send(town, "lake", patient_of(system="lake"), *PEOPLE)
    town.deliver()
    teams = _lake(town, "ann", "bob")
    _send(town, "lake", _plan("L1", id="p1"))
    arrived = town.deliver()
    (plan,) = _plans(arrived, "mercy")
    assert sorted(plan) == sorted(f"CareTeam/{one['id']}" for one in teams)
    assert _plans(arrived, "hub") != []


# --- reading, consent, replay -------------------------------------------------------------------


def test_a_system_reads_and_finds_its_own_siblings(build: Build) -> None:
    """Each id gives its own sibling, and a search by member gives them all."""
    town = build()
    _send(town, "mercy", patient_of(), *PEOPLE, *KIN)
    one = town.send("mercy", "GET", "/fhir/CareTeam/t_b").json()
    assert (one["id"], one["name"], _who(one)) == ("t_b", "Health", ["bob"])
    found = town.send("mercy", "GET", "/fhir/CareTeam?patient=77").json()
    assert sorted(entry["resource"]["id"] for entry in found["entry"]) == ["t_a", "t_b"]


def _consent(**more: Any) -> Tree:
    return {
        "resourceType": "Consent",
        "id": "c1",
        "status": "active",
        "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope",
                              "code": "patient-privacy"}]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": {"reference": "Patient/77"},
        "dateTime": "2020-01-01T00:00:00Z",
        "performer": [{"reference": "Patient/77"}],
        "sourceAttachment": {"title": "Signed form", "url": "http://mercy.example/forms/1"},
        "policyRule": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode",
                                   "code": "OPTIN"}]},
        "provision": {"type": "permit"},
        **more,
    }  # fmt: skip


def test_without_consent_no_sibling_leaves(build: Build) -> None:
    """Where teams are guarded, one refusal is that of all that the message says of the team."""
    town = build(CLINIC, guarded=True)
    refused = town.post("mercy", bundle_of(patient_of(), *PEOPLE, *KIN))
    assert refused.status_code == 403
    assert _on_record(town) == []
    _send(town, "mercy", patient_of(), *PEOPLE)
    batch = _send(town, "mercy", *KIN, kind="batch")
    assert {one["response"]["status"] for one in batch["entry"]} == {"403 Forbidden"}
    assert _on_record(town) == []
    assert _teams(town.deliver(), "clinic") == []


def test_under_consent_all_siblings_leave_and_those_that_left_under_their_own(
    build: Build,
) -> None:
    """A permit lets every sibling go; one that left is decided by itself, also at sending."""
    town = build(CLINIC, guarded=True)
    _send(town, "mercy", patient_of(), *PEOPLE, _consent())
    _send(town, "mercy", *KIN)
    arrived = town.deliver()
    first = sorted(_teams(arrived, "clinic"), key=_who)
    assert [_who(one) for one in first] == [["ann"], ["bob"]]
    assert all("carelane-sibling" not in json.dumps(one) for one in first)
    (team,) = _teams(arrived, "hub")
    assert _who(team) == ["ann", "bob"]
    _send(town, "mercy", {**KIN[1], "status": "entered-in-error"})
    told = {(_who(one)[0], one["status"]) for one in _teams(town.deliver(), "clinic")}
    assert told == {("ann", "active"), ("bob", "entered-in-error")}
    _send(town, "mercy", sibling("t_c", "cat"))
    _send(town, "mercy", _consent(status="inactive"))
    assert _teams(town.deliver(), "clinic") == []
    held = town.store.read(lambda tx: tx.deliveries.search(state="held"))
    assert {one.reason for one in held} == {"consent-withdrawn"}


def test_nothing_remembered_passes_a_narrowed_permit(build: Build) -> None:
    """Under an obligation siblings go under their ids, without what is remembered or removed."""
    town = build(CLINIC, guarded=True)
    _send(town, "mercy", patient_of(), *PEOPLE, _consent())
    label = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "HIV"}
    _send(town, "mercy", *KIN, sibling("t_c", "cat"))
    town.deliver()
    (record,) = _on_record(town)
    project = town.project

    def narrowed(tx: Transaction) -> tuple[list[Draft], list[Draft]]:
        facts = gather_canonical(tx, project, record, at=tx.now)
        trip = Trip(project, facts, "hub")
        unit = Unit(0, "CareTeam", "CareTeam", record, entity=record["id"], canonical=record)
        permit = decision_for(record, record["subject"]["reference"][8:], "mercy", trip)
        assert permit.permitted
        permit = replace(permit, policy=replace(permit.policy, unlabelled="pass"))
        redact = {"type": "redact", "match": {"securityLabel": [label]}}
        found = [
            sibling_drafts(unit, "mercy", replace(permit, obligations=obligations), trip)
            for obligations in ((), (redact,))
        ]
        assert isinstance(found[0], list)
        assert isinstance(found[1], list)
        return found[0], found[1]

    plain, bound = town.store.read(narrowed)
    assert [draft.link for draft in plain] == [f"CareTeam/t_{x}" for x in "abc"]
    assert [draft.link for draft in bound] == [draft.link for draft in plain]
    assert [draft.resource.get("name") for draft in plain] == ["Reading", "Health", None]
    assert [draft.resource.get("name") for draft in bound] == [None, None, None]
    assert [_who(draft.resource) for draft in bound] == [["ann"], ["bob"], ["cat"]]
    assert "carelane" not in json.dumps([draft.resource for draft in bound])


# --- the law on the road ------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_whatever_comes_each_sibling_is_kept_as_it_came_last(build: Build, seed: int) -> None:
    """After any updates in any company the record is the team that the last versions make."""
    chance = random.Random(seed)
    town = build(CLINIC)
    _send(town, "mercy", patient_of(), *PEOPLE)
    last: dict[str, Tree] = {}
    at_clinic: dict[str, Tree] = {}
    for _ in range(6):
        fresh = [_any_sibling(chance) for _ in range(chance.randint(1, 3))]
        given = {one["id"]: one for one in fresh}
        _send(town, "mercy", *given.values())
        last |= given
        at_clinic |= {one["id"]: one for one in _teams(town.deliver(), "clinic")}
    for id, sent in last.items():
        assert town.send("mercy", "GET", f"/fhir/CareTeam/{id}").json() == sent
    (record,) = _on_record(town)
    adapter = town.project.adapters.mapped["text-first", "CareTeam"]
    (family,) = to_wholes(adapter, [last[id] for id in sorted(last)])
    assert family.result.resource is not None
    wanted, came = without(family.result.resource), without(record)
    assert {**_nameless(came), "id": ""} == {**_nameless(wanted), "id": ""}
    standing = [one for one in at_clinic.values() if one["status"] not in GONE]
    if came["status"] not in GONE:
        active = [one for one in last.values() if one["status"] not in GONE]
        assert sorted(map(_who, standing)) == sorted(map(_who, active))


GONE = ("inactive", "entered-in-error", "proposed")


def _any_sibling(chance: random.Random) -> Tree:
    status = chance.choice(["active", "active", "active", "suspended", "inactive", *GONE])
    team = sibling(f"t_{chance.randint(0, 4)}", chance.choice(["ann", "bob", "cat"]), status=status)
    if chance.random() < 0.5:
        team["name"] = chance.choice(["One", "Two"])
    if chance.random() < 0.5:
        end = chance.choice(["2026-01-31", "2100-12-31"])
        team["period"] = {"start": chance.choice(["2024", "2025-05-01"]), "end": end}
    if chance.random() < 0.3:
        team["note"] = [{"text": chance.choice(["a", "b"])}]
    return team


def _nameless(team: Tree) -> Tree:
    """Return a team without whom its references mean, which the crosswalk changes."""
    seats = [{n: v for n, v in seat.items() if n != "member"} for seat in team["participant"]]
    return {**team, "subject": {}, "participant": seats}


def test_a_replay_by_the_same_mapping_changes_nothing(build: Build) -> None:
    """Every stored message runs again to the same result, siblings and wholes alike."""
    town = build(CLINIC)
    _send(town, "mercy", patient_of(), *PEOPLE, *KIN)
    _send(town, "mercy", sibling("t_a", "cat", name="Reading"))
    town.deliver()
    project = town.project
    versions = Versions(project, Sets.of(project.config.root), project.profiles)
    names = frozenset({"text-first/careteam"})
    found = town.store.read(lambda tx: list(replayed(tx, project, project, versions, names, None)))
    fresh = [one for one in found if one.current]
    assert [one.paths for one in fresh] == []


def test_a_mended_mapping_sends_each_sibling_again_once(build: Build, tmp_path: Path) -> None:
    """A replay names the messages whose siblings are on record, and mends one after the other."""
    town = build()
    noted = [{**one, "note": [{"text": one["id"]}]} for one in KIN]
    _send(town, "mercy", patient_of(), *PEOPLE, *noted)
    _send(town, "mercy", {**noted[1], "name": "Changed"})
    town.deliver()
    shutil.copytree(MAPPINGS, tmp_path / "mappings")
    path = tmp_path / "mappings" / "text-first" / "careteam.yaml"
    path.write_text(path.read_text().replace("note: union", "note: own"))
    adapters, problems = load_adapters(tmp_path / "mappings", town.project.profiles)
    assert not has_errors(problems)
    project, trial = town.project, replace(town.project, adapters=adapters)
    versions = Versions(project, Sets.of(project.config.root), project.profiles)
    names = frozenset({"text-first/careteam"})
    found = town.store.read(lambda tx: list(replayed(tx, project, trial, versions, names, None)))
    assert [one.current for one in found].count(True) == 2
    for change in reversed(found):
        town.store.write(partial(deliver_again, change=change, by="test")).result()
    (record,) = _on_record(town)
    assert "note" not in record
    last = _teams(town.deliver(), "hub")[-1]
    assert _who(last) == ["ann", "bob"]
    assert "note" not in last


def test_release_by_hand_of_what_is_older_is_overtaken(build: Build) -> None:
    """A person releases a held sibling that has a newer version by now: it is set aside."""
    town = build()
    _send(town, "mercy", patient_of(), *PEOPLE[:1], KIN[0])
    _send(town, "mercy", sibling("t_b", "bob", name="Old"), kind="batch")
    (held,) = town.store.read(lambda tx: tx.units.held())
    _send(town, "mercy", sibling("t_b", "ann", name="New"))
    project = town.project
    assert town.store.write(lambda tx: release(tx, project, held)).result()
    row = town.store.read(lambda tx: tx.units.get(held.id))
    assert row is not None
    assert (row.state, row.reason) == ("rejected", "overtaken")
    (record,) = _on_record(town)
    assert _who(record) == ["ann", "ann"]
