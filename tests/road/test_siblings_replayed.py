"""Siblings are kept as they came last, whatever is changed, replayed or released."""

from __future__ import annotations

import random
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from sibling_messages import Build, Tree, on_record, seated, send, teams_at
from sibling_town import CLINIC, KIN, PEOPLE, patient_of, sibling
from town import REPOSITORY

from engine.diagnostics import has_errors
from engine.mapping_sets import Sets
from engine.releasing import release
from engine.replaying import Versions, deliver_again, replayed
from engine.transform.adapter import load_adapters
from engine.transform.family import to_wholes
from engine.transform.home import without

MAPPINGS = REPOSITORY / "mappings"


@pytest.mark.parametrize("seed", range(3))
def test_whatever_comes_each_sibling_is_kept_as_it_came_last(build: Build, seed: int) -> None:
    """After any updates in any company the record is the team that the last versions make."""
    chance = random.Random(seed)
    town = build(CLINIC)
    send(town, "mercy", patient_of(), *PEOPLE)
    last: dict[str, Tree] = {}
    at_clinic: dict[str, Tree] = {}
    for _ in range(6):
        fresh = [_any_sibling(chance) for _ in range(chance.randint(1, 3))]
        given = {one["id"]: one for one in fresh}
        send(town, "mercy", *given.values())
        last |= given
        at_clinic |= {one["id"]: one for one in teams_at(town.deliver(), "clinic")}
    for id, sent in last.items():
        assert town.send("mercy", "GET", f"/fhir/CareTeam/{id}").json() == sent
    (record,) = on_record(town)
    adapter = town.project.adapters.mapped["text-first", "CareTeam"]
    (family,) = to_wholes(adapter, [last[id] for id in sorted(last)])
    assert family.result.resource is not None
    wanted, came = without(family.result.resource), without(record)
    assert {**_nameless(came), "id": ""} == {**_nameless(wanted), "id": ""}
    standing = [one for one in at_clinic.values() if one["status"] not in GONE]
    if came["status"] not in GONE:
        active = [one for one in last.values() if one["status"] not in GONE]
        assert sorted(map(seated, standing)) == sorted(map(seated, active))


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
    send(town, "mercy", patient_of(), *PEOPLE, *KIN)
    send(town, "mercy", sibling("t_a", "cat", name="Reading"))
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
    send(town, "mercy", patient_of(), *PEOPLE, *noted)
    send(town, "mercy", {**noted[1], "name": "Changed"})
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
    (record,) = on_record(town)
    assert "note" not in record
    last = teams_at(town.deliver(), "hub")[-1]
    assert seated(last) == ["ann", "bob"]
    assert "note" not in last


def test_release_by_hand_of_what_is_older_is_overtaken(build: Build) -> None:
    """A person releases a held sibling that has a newer version by now: it is set aside."""
    town = build()
    send(town, "mercy", patient_of(), *PEOPLE[:1], KIN[0])
    send(town, "mercy", sibling("t_b", "bob", name="Old"), kind="batch")
    (held,) = town.store.read(lambda tx: tx.units.held())
    send(town, "mercy", sibling("t_b", "ann", name="New"))
    project = town.project
    assert town.store.write(lambda tx: release(tx, project, held)).result()
    row = town.store.read(lambda tx: tx.units.get(held.id))
    assert row is not None
    assert (row.state, row.reason) == ("rejected", "overtaken")
    (record,) = on_record(town)
    assert seated(record) == ["ann", "ann"]
