"""Between store and road: what is carried, on record, of resources that a message writes anew."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from engine.fhir.json import reread
from engine.message import Resource, Unit
from engine.project import Project
from engine.road.facts import Facts
from engine.road.identify import own_keys
from engine.store import Transaction
from engine.transform.home import mentions


def with_carried(
    tx: Transaction, project: Project, system: str, units: Sequence[Unit], facts: Facts
) -> Facts:
    """Return facts with the versions on record in which other dialects' values are carried.

    Only resources that are known already are looked for; siblings see to theirs themselves.
    """
    found: dict[str, Resource] = {}
    for unit in units:
        if unit.type not in project.adapted_types or unit.type in project.sibling_types:
            continue
        keys = own_keys(unit, system, project.naming)
        entity = next((e for key in keys if (e := facts.links.entities.get(key))), None)
        row = tx.resources.get(unit.type, entity) if entity else None
        if row is not None and not row.deleted and mentions(row.body):
            found[f"{unit.type}/{entity}"] = reread(row.body)
    return replace(facts, before=found) if found else facts
