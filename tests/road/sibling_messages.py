"""What systems that keep siblings, and the lake, tell a town, and what it then sends and keeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sibling_town import bundle_of, sibling
from town import Arrived, Town

from engine.fhir.json import loads

Tree = dict[str, Any]
Build = Callable[..., Town]


def send(town: Town, system: str, *resources: Tree, kind: str = "transaction") -> Tree:
    town.clock.advance(1)
    told = town.post(system, bundle_of(*resources, kind=kind))
    assert told.status_code == 200, told.text
    return dict(told.json())


def teams_at(arrived: list[Arrived], system: str) -> list[Tree]:
    kept = [one for one in arrived if one.system == system]
    return [one.resource for one in kept if one.resource["resourceType"] == "CareTeam"]


def on_record(town: Town) -> list[Tree]:
    rows = town.store.read(lambda tx: tx.resources.of_type("CareTeam"))
    return [loads(row.body) for row in rows]


def seated(team: Tree) -> list[str]:
    return [seat["role"][0]["text"].removeprefix("Role of ") for seat in team["participant"]]


def _lake_team(*who: str, **more: Any) -> Tree:
    team = sibling("L1", who[0], identifier=[{"system": "http://lake.example/team", "value": "1"}])
    team["participant"] = [sibling("", one)["participant"][0] for one in who]
    return {**team, **more}


def from_lake(town: Town, *who: str, **more: Any) -> list[Tree]:
    town.clock.advance(1)
    told = town.post("lake", bundle_of(_lake_team(*who, **more)))
    assert told.status_code == 200, told.text
    return sorted(teams_at(town.deliver(), "mercy"), key=seated)
