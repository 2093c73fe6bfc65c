"""One team goes out as one resource for each participant, under ids that stay."""

from __future__ import annotations

import json

import httpx
from sibling_messages import Build, from_lake, on_record, seated, send, teams_at
from sibling_town import CLINIC, KIN, LAKE, PEOPLE, patient_of, sibling
from town import Arrived


def test_another_systems_team_goes_as_one_resource_for_each(build: Build) -> None:
    """A team of three goes out as three, each under an id that stays through later updates."""
    town = build(LAKE)
    send(town, "lake", patient_of(system="lake"), *PEOPLE)
    town.deliver()
    first = from_lake(town, "ann", "bob")
    assert [seated(one) for one in first] == [["ann"], ["bob"]]
    assert all("identifier" not in one for one in first)
    second = from_lake(town, "cat", "bob", "ann", name="Team")
    assert [one["id"] for one in second[:2]] == [one["id"] for one in first]
    assert {one["name"] for one in second} == {"Team"}
    third = from_lake(town, "cat", "bob", "ann", name="Team", status="suspended")
    assert [one["id"] for one in third] == [one["id"] for one in second]
    assert len({one["id"] for one in third}) == 3


def test_only_siblings_that_changed_are_sent(build: Build) -> None:
    """One new participant is one delivery; the same again is all of them again."""
    town = build(LAKE)
    send(town, "lake", patient_of(system="lake"), *PEOPLE)
    town.deliver()
    assert len(from_lake(town, "ann", "bob")) == 2
    assert [seated(one) for one in from_lake(town, "ann", "bob", "cat")] == [["cat"]]


def test_one_that_left_is_closed_once(build: Build) -> None:
    """A participant who is gone from the team is told as inactive, and never again after."""
    town = build(LAKE)
    send(town, "lake", patient_of(system="lake"), *PEOPLE)
    town.deliver()
    ids = {seated(one)[0]: one["id"] for one in from_lake(town, "ann", "bob")}
    (closed,) = from_lake(town, "ann")
    assert closed["id"] == ids["bob"]
    assert closed["status"] == "inactive"
    assert seated(closed) == ["bob"]
    assert [seated(one) for one in from_lake(town, "ann", "cat")] == [["cat"]]
    back = from_lake(town, "ann", "bob")
    assert {(seated(one)[0], one["status"]) for one in back} == {
        ("bob", "active"),
        ("cat", "inactive"),
    }
    assert ids["bob"] in {one["id"] for one in back}


def test_siblings_go_to_another_such_system_and_keep_their_ids(build: Build) -> None:
    """What one clinic keeps as siblings another does too: one each, closed as they close."""
    town = build(CLINIC)
    send(town, "mercy", patient_of(), *PEOPLE, *KIN)
    first = sorted(teams_at(town.deliver(), "clinic"), key=seated)
    assert [seated(one) for one in first] == [["ann"], ["bob"]]
    assert not {one["id"] for one in first} & {"t_a", "t_b"}
    send(town, "mercy", sibling("t_a", "cat", name="Reading"))
    (changed,) = teams_at(town.deliver(), "clinic")
    assert changed["id"] == first[0]["id"]
    assert seated(changed) == ["cat"]
    send(town, "mercy", {**KIN[1], "status": "entered-in-error"})
    arrived = town.deliver()
    (mistaken,) = teams_at(arrived, "clinic")
    assert (mistaken["id"], mistaken["status"]) == (first[1]["id"], "entered-in-error")
    (team,) = teams_at(arrived, "hub")
    assert seated(team) == ["cat"]


def test_a_system_that_gives_its_own_ids_is_met_by_them(build: Build) -> None:
    """Where a destination calls a sibling otherwise, later updates and its own go by that id."""
    town = build(LAKE)
    send(town, "lake", patient_of(system="lake"), *PEOPLE)
    town.deliver()

    def own_ids(seen: Arrived) -> httpx.Response | None:
        if seen.system != "mercy" or seen.resource["resourceType"] != "CareTeam":
            return None
        theirs = f"m-{seated(seen.resource)[0]}"
        location = f"http://127.0.0.1:8101/fhir/CareTeam/{theirs}/_history/1"
        return httpx.Response(201, headers={"Location": location})

    town.script = own_ids
    from_lake(town, "ann", "bob")
    again = from_lake(town, "ann", "bob", name="Team")
    assert [one["id"] for one in again] == ["m-ann", "m-bob"]
    send(town, "mercy", {**again[1], "status": "suspended"})
    (record,) = on_record(town)
    assert len(record["participant"]) == 2
    (closed,) = (one for one in from_lake(town, "ann") if one["status"] == "inactive")
    assert closed["id"] == "m-bob"


def test_what_was_sent_there_comes_back_into_the_same_team(build: Build) -> None:
    """A system changes one sibling that it was sent: only that participant changes in the team."""
    town = build(LAKE)
    send(town, "lake", patient_of(system="lake"), *PEOPLE)
    town.deliver()
    first = from_lake(town, "ann", "bob", name="Team")
    changed = {
        **first[0],
        "participant": [{**first[0]["participant"][0], "period": {"start": "2026"}}],
    }
    send(town, "mercy", changed)
    (record,) = on_record(town)
    assert [one.get("period") for one in record["participant"]] == [{"start": "2026"}, None]
    assert record["identifier"] == [{"system": "http://lake.example/team", "value": "1"}]
    (team,) = teams_at(town.deliver(), "lake")
    assert team["id"] == "L1"
    assert seated(team) == ["ann", "bob"]
    assert team["identifier"] == record["identifier"]


def test_what_another_changes_goes_home_to_each_as_it_came(build: Build) -> None:
    """The hub suspends the team: both siblings go home suspended, with their own names and ids."""
    town = build()
    send(town, "mercy", patient_of(), *PEOPLE, *KIN)
    (team,) = teams_at(town.deliver(), "hub")
    send(town, "hub", {**team, "status": "suspended"})
    home = sorted(teams_at(town.deliver(), "mercy"), key=seated)
    assert [(one["id"], one["status"], one["name"]) for one in home] == [
        ("t_a", "suspended", "Reading"),
        ("t_b", "suspended", "Health"),
    ]
    seats = [one for one in team["participant"] if one["role"][0]["text"] != "Role of bob"]
    send(town, "hub", {**team, "status": "suspended", "participant": seats})
    (closed,) = teams_at(town.deliver(), "mercy")
    assert (closed["id"], closed["status"]) == ("t_b", "inactive")


def test_a_refused_sibling_is_its_own_dead_letter(build: Build) -> None:
    """One that its destination refuses can be sent again later, whatever else arrived since."""
    town = build(LAKE)
    send(town, "lake", patient_of(system="lake"), *PEOPLE)
    town.deliver()

    def refuse(seen: Arrived) -> httpx.Response | None:
        bad = seen.resource.get("participant") and "bob" in json.dumps(seen.resource)
        return httpx.Response(422) if seen.system == "mercy" and bad else None

    town.script = refuse
    assert [seated(one) for one in from_lake(town, "ann", "bob")] == [["ann"]]
    (dead,) = town.store.read(lambda tx: tx.deliveries.search(state="dead"))
    town.store.write(lambda tx: tx.deliveries.skip(dead.id, "test")).result()
    assert [seated(one) for one in from_lake(town, "ann", "bob", "cat")] == [["cat"]]
    town.script = None
    town.store.write(lambda tx: tx.deliveries.requeue(dead.id, "test")).result()
    assert [seated(one) for one in teams_at(town.deliver(), "mercy")] == [["bob"]]
