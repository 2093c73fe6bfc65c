"""Systems that keep one participant in each team: siblings become one team, and several again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest
from town import REPOSITORY, Arrived, Town, environment

from engine.fhir.json import loads
from engine.mapping_sets import Sets
from engine.project import Project, load
from engine.releasing import release
from engine.replaying import Versions, replayed
from engine.store import Store
from engine.testing import ManualClock
from engine.transform.home import without

Tree = dict[str, Any]
SYSTEM = """
  {name}:
    title: {name}
    role: provider
    dialect: {dialect}
    base_url: https://{name}.example/fhir
    organization: {{value: "{npi}", name: {name}}}
    token_sha256: ${{{token}}}
    identifiers: [http://{name}.example/mrn]
"""
ROUTES = """
  - {from: "*", to: "*", types: [Patient, Practitioner, CareTeam, CarePlan], purpose: COC}
"""
CLINIC, LAKE = ("clinic", "text-first", "1111111112"), ("lake", "us-core", "1111111113")


def _config(*others: tuple[str, str, str], guarded: bool = False) -> str:
    text = (REPOSITORY / "config.yaml").read_text()
    head, _, _ = text.partition("\nroutes:\n")
    head = head.replace("dialect: us-core", "dialect: text-first", 1)
    for name, dialect, npi in others:
        token = f"{name.upper()}_TOKEN"
        head += SYSTEM.format(name=name, dialect=dialect, npi=npi, token=token)
    rules = "\nrules: {consent: {applies_to: [Communication, CareTeam]}}\n" if guarded else ""
    return f"{head}\nroutes:{ROUTES}\nunrouted: reject\n{rules}"


@cache
def _project(others: tuple[tuple[str, str, str], ...], guarded: bool) -> Project:
    """Return a project, loaded once for all tests that ask alike; its folder goes again."""
    tokens = {
        f"{name.upper()}_TOKEN": hashlib.sha256(name.encode()).hexdigest() for name, *_ in others
    }
    with TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        path.write_text(_config(*others, guarded=guarded))
        for name in ("mappings", "profiles", "rules"):
            (Path(folder) / name).symlink_to(REPOSITORY / name)
        return load(path, environment("sqlite:///unused.db", **tokens))


Build = Callable[..., Town]


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Build]:
    """Build a town in which mercy keeps siblings, hub does not, and others as they are named."""
    stores: list[Store] = []

    def town(*others: tuple[str, str, str], guarded: bool = False) -> Town:
        project = _project(others, guarded)
        clock = ManualClock()
        store = Store.open(f"sqlite:///{tmp_path / f'{len(stores)}.db'}", clock=clock)
        stores.append(store)
        return Town(project, store, clock)

    yield town
    for store in stores:
        store.close()


# --- makings ------------------------------------------------------------------------------------


def _patient(id: str = "77", mrn: str = "A1", system: str = "mercy") -> Tree:
    identifier = [{"system": f"http://{system}.example/mrn", "value": mrn}]
    name = [{"family": "Rivera"}]
    head = {"resourceType": "Patient", "id": id, "identifier": identifier}
    return {**head, "name": name, "gender": "female"}


def _person(id: str) -> Tree:
    name = [{"family": id.title()}]
    identifier = [{"system": "http://hl7.org/fhir/sid/us-npi", "value": _npi(id)}]
    return {"resourceType": "Practitioner", "id": id, "identifier": identifier, "name": name}


def _npi(id: str) -> str:
    return str(1000000000 + int(hashlib.sha256(id.encode()).hexdigest()[:7], 16))


def _team(id: str, who: str, **more: Any) -> Tree:
    member = {"reference": f"Practitioner/{who}"}
    seat = {"role": [{"text": f"Role of {who}"}], "member": member}
    head = {"resourceType": "CareTeam", "id": id, "status": "active"}
    return {**head, "subject": {"reference": "Patient/77"}, "participant": [seat], **more}


def _bundle(*resources: Tree, kind: str = "transaction") -> Tree:
    entries = []
    for one in resources:
        request = {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}
        entries.append({"resource": one, "request": request})
    return {"resourceType": "Bundle", "type": kind, "entry": entries}


def _send(town: Town, system: str, *resources: Tree, kind: str = "transaction") -> Tree:
    town.clock.advance(1)
    told = town.post(system, _bundle(*resources, kind=kind))
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


PEOPLE = [_person(name) for name in ("ann", "bob", "cat")]
KIN = [_team("t_a", "ann", name="Reading"), _team("t_b", "bob", name="Health")]


# --- in -----------------------------------------------------------------------------------------


def test_siblings_of_one_bundle_are_one_team(build: Build) -> None:
    """Two teams of one member come in one Bundle; the hub is sent one team, once."""
    town = build()
    answer = _send(town, "mercy", _patient(), *PEOPLE, *KIN)
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
        _send(town, "mercy", _patient(), *PEOPLE)
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
    _send(town, "mercy", _patient(), *PEOPLE, *KIN)
    _send(town, "mercy", _team("t_a", "cat", name="Reading"))
    (record,) = _on_record(town)
    assert _who(record) == ["cat", "bob"]
    town.deliver()
    body = _bundle(_team("t_b", "bob", name="Nurse"))
    first = town.post("mercy", body)
    again = town.post("mercy", body)
    assert first.json() == again.json()
    assert len(_teams(town.deliver(), "hub")) == 1


def test_a_sibling_sent_again_between_others_is_a_repeat(build: Build) -> None:
    """A, B, A are two siblings and a repeat: B has touched nothing of A."""
    town = build()
    _send(town, "mercy", _patient(), *PEOPLE)
    bodies = [_bundle(KIN[0]), _bundle(KIN[1])]
    first = town.post("mercy", bodies[0])
    town.post("mercy", bodies[1])
    assert town.post("mercy", bodies[0]).json() == first.json()
    (record,) = _on_record(town)
    assert _who(record) == ["ann", "bob"]
    changed = _bundle(_team("t_a", "cat", name="Reading"))
    town.post("mercy", changed)
    town.post("mercy", bodies[0])
    (record,) = _on_record(town)
    assert _who(record) == ["ann", "bob"]


def test_one_that_ends_leaves_its_end_and_a_mistaken_one_nothing(build: Build) -> None:
    """Ended with a date it stays until then; entered in error it goes; nothing is lost at home."""
    town = build()
    _send(town, "mercy", _patient(), *PEOPLE, *KIN)
    ended = _team("t_a", "ann", status="inactive", period={"end": "2026-01-31"})
    _send(town, "mercy", ended)
    (record,) = _on_record(town)
    assert record["participant"][0]["period"] == {"end": "2026-01-31"}
    _send(town, "mercy", {**KIN[1], "status": "entered-in-error"}, _team("t_c", "cat"))
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
    told = town.post("mercy", _bundle(_patient(), *PEOPLE, *KIN))
    rows = town.store.read(lambda tx: tx.units.of_message(told.headers["x-message-id"]))
    notes = [note for row in rows for note in row.notes if note["code"] == "T021"]
    assert [note["path"].rpartition(".")[2] for note in notes] == ["name"]
    assert "Reading" not in json.dumps(notes)


def test_teams_of_two_members_stay_two(build: Build) -> None:
    """What makes siblings is the member: another's team is another team."""
    town = build()
    other = {**_team("t_z", "cat"), "subject": {"reference": "Patient/78"}}
    _send(town, "mercy", _patient(), _patient("78", "A2"), *PEOPLE, *KIN, other)
    assert sorted(len(one["participant"]) for one in _on_record(town)) == [1, 2]


def test_one_that_turns_to_another_member_is_refused(build: Build) -> None:
    """A sibling does not slip from one member's team into another's under the same id."""
    town = build()
    _send(town, "mercy", _patient(), _patient("78", "A2"), *PEOPLE, *KIN)
    moved = {**KIN[0], "subject": {"reference": "Patient/78"}}
    told = _send(town, "mercy", moved, _team("t_c", "cat"), kind="batch")
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
    _send(town, "mercy", _patient(), *PEOPLE[:1], KIN[0])
    _send(town, "mercy", KIN[1], kind="batch")
    (record,) = _on_record(town)
    assert _who(record) == ["ann"]
    _send(town, "mercy", _team("t_a", "ann", name="Changed"))
    _send(town, "mercy", PEOPLE[1])
    (record,) = _on_record(town)
    assert _who(record) == ["ann", "bob"]
    _send(town, "mercy", _team("t_d", "cat", name="Old"), kind="batch")
    _send(town, "mercy", _team("t_d", "ann", name="New"))
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
    _send(town, "mercy", _patient())
    (record,) = _on_record(town)
    assert _who(record) == ["ann", "bob"]
    assert town.store.read(lambda tx: tx.units.held()) == []


# --- out ----------------------------------------------------------------------------------------


def _lake_team(*who: str, **more: Any) -> Tree:
    team = _team("L1", who[0], identifier=[{"system": "http://lake.example/team", "value": "1"}])
    team["participant"] = [_team("", one)["participant"][0] for one in who]
    return {**team, **more}


def _lake(town: Town, *who: str, **more: Any) -> list[Tree]:
    town.clock.advance(1)
    told = town.post("lake", _bundle(_lake_team(*who, **more)))
    assert told.status_code == 200, told.text
    return sorted(_teams(town.deliver(), "mercy"), key=_who)


def test_another_systems_team_goes_as_one_resource_for_each(build: Build) -> None:
    """A team of three goes out as three, each under an id that stays through later updates."""
    town = build(LAKE)
    _send(town, "lake", _patient(system="lake"), *PEOPLE)
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
    _send(town, "lake", _patient(system="lake"), *PEOPLE)
    town.deliver()
    assert len(_lake(town, "ann", "bob")) == 2
    assert [_who(one) for one in _lake(town, "ann", "bob", "cat")] == [["cat"]]


def test_one_that_left_is_closed_once(build: Build) -> None:
    """A participant who is gone from the team is told as inactive, and never again after."""
    town = build(LAKE)
    _send(town, "lake", _patient(system="lake"), *PEOPLE)
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
    _send(town, "mercy", _patient(), *PEOPLE, *KIN)
    first = sorted(_teams(town.deliver(), "clinic"), key=_who)
    assert [_who(one) for one in first] == [["ann"], ["bob"]]
    assert not {one["id"] for one in first} & {"t_a", "t_b"}
    _send(town, "mercy", _team("t_a", "cat", name="Reading"))
    (changed,) = _teams(town.deliver(), "clinic")
    assert changed["id"] == first[0]["id"]
    assert _who(changed) == ["cat"]
    _send(town, "mercy", {**KIN[1], "status": "entered-in-error"})
    arrived = town.deliver()
    (mistaken,) = _teams(arrived, "clinic")
    assert (mistaken["id"], mistaken["status"]) == (first[1]["id"], "entered-in-error")
    (team,) = _teams(arrived, "hub")
    assert _who(team) == ["cat"]


def test_what_was_sent_there_comes_back_into_the_same_team(build: Build) -> None:
    """A system changes one sibling that it was sent: only that participant changes in the team."""
    town = build(LAKE)
    _send(town, "lake", _patient(system="lake"), *PEOPLE)
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
    _send(town, "mercy", _patient(), *PEOPLE, *KIN)
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
    _send(town, "lake", _patient(system="lake"), *PEOPLE)
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
    _send(town, "mercy", _patient(), *PEOPLE, *KIN, _plan("t_a", "t_b", id="plan_0"))
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
    _send(town, "lake", _patient(system="lake"), *PEOPLE)
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
    _send(town, "mercy", _patient(), *PEOPLE, *KIN)
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
        "sourceReference": {"display": "signed form"},
        "policyRule": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode",
                                   "code": "OPTIN"}]},
        "provision": {"type": "permit"},
        **more,
    }  # fmt: skip


def test_consent_stands_over_each_sibling(build: Build) -> None:
    """Where teams are guarded nothing leaves without a permit, with one all siblings do."""
    town = build(CLINIC, guarded=True)
    refused = town.post("mercy", _bundle(_patient(), *PEOPLE, *KIN))
    assert refused.status_code == 403
    assert _on_record(town) == []
    town.clock.advance(1)
    _send(town, "mercy", _patient(), *PEOPLE)
    batch = _send(town, "mercy", *KIN, kind="batch")
    assert {one["response"]["status"] for one in batch["entry"]} == {"403 Forbidden"}
    assert _teams(town.deliver(), "clinic") == []


def test_a_replay_by_the_same_mapping_changes_nothing(build: Build) -> None:
    """Every stored message runs again to the same result, siblings and wholes alike."""
    town = build(CLINIC)
    _send(town, "mercy", _patient(), *PEOPLE, *KIN)
    _send(town, "mercy", _team("t_a", "cat", name="Reading"))
    town.deliver()
    project = town.project
    versions = Versions(project, Sets.of(project.config.root), project.profiles)
    names = frozenset({"text-first/careteam"})
    found = town.store.read(lambda tx: list(replayed(tx, project, project, versions, names, None)))
    fresh = [one for one in found if one.current]
    assert [one.paths for one in fresh] == []


def test_release_by_hand_of_what_is_older_is_overtaken(build: Build) -> None:
    """A person releases a held sibling that has a newer version by now: it is set aside."""
    town = build()
    _send(town, "mercy", _patient(), *PEOPLE[:1], KIN[0])
    _send(town, "mercy", _team("t_b", "bob", name="Old"), kind="batch")
    (held,) = town.store.read(lambda tx: tx.units.held())
    _send(town, "mercy", _team("t_b", "ann", name="New"))
    project = town.project
    assert town.store.write(lambda tx: release(tx, project, held)).result()
    row = town.store.read(lambda tx: tx.units.get(held.id))
    assert row is not None
    assert (row.state, row.reason) == ("rejected", "overtaken")
    (record,) = _on_record(town)
    assert _who(record) == ["ann", "ann"]
