"""Siblings that come in become one team, whatever the order, and stay one."""

from __future__ import annotations

import json

from sibling_messages import Build, on_record, seated, send, teams_at
from sibling_town import KIN, PEOPLE, bundle_of, patient_of, sibling
from town import Town, loaded

from engine.transform.crosswalk import reference_key
from engine.transform.home import without


def test_siblings_of_one_bundle_are_one_team(build: Build) -> None:
    """Two teams of one member come in one Bundle; the hub is sent one team, once."""
    town = build()
    answer = send(town, "mercy", patient_of(), *PEOPLE, *KIN)
    (record,) = on_record(town)
    assert seated(record) == ["ann", "bob"]
    told = [one["response"] for one in answer["entry"]]
    assert {one["status"] for one in told} == {"201 Created"}
    assert [one["location"] for one in told[-2:]] == [f"CareTeam/{record['id']}"] * 2
    assert "as part of" in told[-1]["outcome"]["issue"][0]["diagnostics"]
    (team,) = teams_at(town.deliver(), "hub")
    assert len(team["participant"]) == 2
    assert without(team) == team
    assert "name" not in team
    assert town.store.read(lambda tx: tx.units.held()) == []


def test_siblings_of_several_messages_are_one_team(build: Build) -> None:
    """Each message brings one; the team grows, whatever the order, and is the same in the end."""
    made = []
    for order in ([0, 1], [1, 0]):
        town = build()
        send(town, "mercy", patient_of(), *PEOPLE)
        for index in order:
            send(town, "mercy", KIN[index])
        (record,) = on_record(town)
        made.append(without(record))
        sizes = [len(team["participant"]) for team in teams_at(town.deliver(), "hub")]
        assert sizes == [1, 2]
    assert made[0] == made[1]


def test_one_that_changes_replaces_only_its_own_participant(build: Build) -> None:
    """An update of one sibling leaves the other as it is; a repeat is answered, not taken twice."""
    town = build()
    send(town, "mercy", patient_of(), *PEOPLE, *KIN)
    send(town, "mercy", sibling("t_a", "cat", name="Reading"))
    (record,) = on_record(town)
    assert seated(record) == ["cat", "bob"]
    town.deliver()
    body = bundle_of(sibling("t_b", "bob", name="Nurse"))
    first = town.post("mercy", body)
    again = town.post("mercy", body)
    assert first.json() == again.json()
    assert len(teams_at(town.deliver(), "hub")) == 1


def test_a_sibling_sent_again_between_others_is_a_repeat(build: Build) -> None:
    """A, B, A are two siblings and a repeat: B has touched nothing of A."""
    town = build()
    send(town, "mercy", patient_of(), *PEOPLE)
    bodies = [bundle_of(KIN[0]), bundle_of(KIN[1])]
    first = town.post("mercy", bodies[0])
    town.post("mercy", bodies[1])
    assert town.post("mercy", bodies[0]).json() == first.json()
    (record,) = on_record(town)
    assert seated(record) == ["ann", "bob"]
    changed = bundle_of(sibling("t_a", "cat", name="Reading"))
    town.post("mercy", changed)
    town.post("mercy", bodies[0])
    (record,) = on_record(town)
    assert seated(record) == ["ann", "bob"]


def test_one_that_ends_leaves_its_end_and_a_mistaken_one_nothing(build: Build) -> None:
    """Ended with a date it stays until then; entered in error it goes; nothing is lost at home."""
    town = build()
    send(town, "mercy", patient_of(), *PEOPLE, *KIN)
    ended = sibling("t_a", "ann", status="inactive", period={"end": "2026-01-31"})
    send(town, "mercy", ended)
    (record,) = on_record(town)
    assert record["participant"][0]["period"] == {"end": "2026-01-31"}
    send(town, "mercy", {**KIN[1], "status": "entered-in-error"}, sibling("t_c", "cat"))
    (record,) = on_record(town)
    assert seated(record) == ["ann", "cat"]
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
    send(town, "mercy", patient_of(), patient_of("78", "A2"), *PEOPLE, *KIN, other)
    assert sorted(len(one["participant"]) for one in on_record(town)) == [1, 2]


def test_one_that_turns_to_another_member_is_refused(build: Build) -> None:
    """A sibling does not slip from one member's team into another's under the same id."""
    town = build()
    send(town, "mercy", patient_of(), patient_of("78", "A2"), *PEOPLE, *KIN)
    moved = {**KIN[0], "subject": {"reference": "Patient/78"}}
    told = send(town, "mercy", moved, sibling("t_c", "cat"), kind="batch")
    statuses = [one["response"]["status"] for one in told["entry"]]
    assert statuses == ["409 Conflict", "201 Created"]
    assert told["entry"][0]["response"]["outcome"]["issue"][0]["details"]["coding"][0]["code"] == (
        "R020"
    )
    (record,) = on_record(town)
    assert seated(record) == ["ann", "bob", "cat"]


def test_a_held_sibling_enters_later_and_nothing_older_overwrites(build: Build) -> None:
    """One that waits for a person enters when they come; an old version of it never returns."""
    town = build()
    send(town, "mercy", patient_of(), *PEOPLE[:1], KIN[0])
    send(town, "mercy", KIN[1], kind="batch")
    (record,) = on_record(town)
    assert seated(record) == ["ann"]
    send(town, "mercy", sibling("t_a", "ann", name="Changed"))
    send(town, "mercy", PEOPLE[1])
    (record,) = on_record(town)
    assert seated(record) == ["ann", "bob"]
    send(town, "mercy", sibling("t_d", "cat", name="Old"), kind="batch")
    send(town, "mercy", sibling("t_d", "ann", name="New"))
    send(town, "mercy", PEOPLE[2])
    (record,) = on_record(town)
    assert seated(record) == ["ann", "bob", "ann"]


def test_unknown_member_holds_each_and_they_come_together(build: Build) -> None:
    """Siblings of a member that nobody knows yet wait; once the member comes they are one team."""
    town = build()
    send(town, "mercy", *PEOPLE)
    send(town, "mercy", *KIN, kind="batch")
    assert on_record(town) == []
    assert len(town.store.read(lambda tx: tx.units.held())) == 2
    send(town, "mercy", patient_of())
    (record,) = on_record(town)
    assert seated(record) == ["ann", "bob"]
    assert town.store.read(lambda tx: tx.units.held()) == []


def test_what_came_before_siblings_were_declared_is_followed_and_may_be_merged(
    build: Build,
) -> None:
    """Teams taken one by one stay so, replaced by what comes of each; a merger makes them one."""
    town = build()
    plain = Town(loaded(), town.store, town.clock)
    kin = [sibling("t-a", "ann"), sibling("t-b", "bob")]
    send(plain, "mercy", patient_of(), *PEOPLE, *kin)
    assert len(on_record(town)) == 2
    send(town, "mercy", sibling("t-a", "cat"), kin[1])
    first, second = sorted(on_record(town), key=seated)
    assert [seated(first), seated(second)] == [["bob"], ["cat"]]
    stays, goes = first["id"], second["id"]
    town.store.write(lambda tx: tx.crosswalk.merge(stays, goes)).result()
    send(town, "mercy", sibling("t-a", "cat", name="New"))
    record = next(one for one in on_record(town) if one["id"] == stays)
    assert seated(record) == ["cat", "bob"]


def test_a_member_whose_records_were_merged_keeps_one_team(build: Build) -> None:
    """A sibling that names the record that stays joins the team of the one that went."""
    town = build()
    send(town, "mercy", patient_of(), patient_of("78", "A2"), *PEOPLE, KIN[0])
    keys = [reference_key("mercy", f"Patient/{id}") for id in ("78", "77")]
    town.store.write(
        lambda tx: tx.crosswalk.merge(*(tx.crosswalk.resolve([key])[key] for key in keys))
    ).result()
    send(town, "mercy", {**KIN[1], "subject": {"reference": "Patient/78"}})
    (record,) = on_record(town)
    assert seated(record) == ["ann", "bob"]
