"""What members hear about: the events of coordination, seen in what was accepted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from engine.coordination.happening import Happening
from engine.coordination.notification import notify, settings_of
from engine.fhir.json import loads
from engine.message import Resource
from engine.project import Project
from engine.rules.elements import referred_type
from engine.store import Transaction, UnitRow

_FAMILY = frozenset({"Patient", "RelatedPerson"})
_IDLE = frozenset({"draft", "proposed", "entered-in-error", "unknown"})


EVENTS: Mapping[str, str] = MappingProxyType(
    {
        "Communication": "first-outreach",
        "CareTeam": "new-team-member",
        "CarePlan": "plan-changed",
    }
)
"""The event that a resource of each type may be."""


def concerns(tx: Transaction, project: Project, canonical: Resource) -> bool:
    """Tell whether a resource may be an event of which somebody is notified."""
    settings, event = settings_of(project), EVENTS.get(canonical["resourceType"])
    return settings is not None and event in settings.events


def notice_events(tx: Transaction, project: Project, happening: Happening) -> None:
    """Tell members of a first outreach, a new team member, and a plan that changed."""
    settings = settings_of(project)
    if settings is None:
        return
    for unit in happening.units:
        if unit.member is None or unit.resource is None or unit.version is None:
            continue
        if EVENTS.get(unit.type) not in settings.events:
            continue
        for event in _events(tx, unit):
            notify(tx, project, unit.member, event, unit.resource)


def _events(tx: Transaction, unit: UnitRow) -> Iterator[str]:
    resource, before = _version(tx, unit, 0), _version(tx, unit, -1)
    if resource is None or resource.get("status") in _IDLE:
        return
    if unit.type == "Communication" and is_outreach(resource) and _is_first(tx, unit):
        yield EVENTS[unit.type]
    if unit.type == "CareTeam" and _people(resource) - _people(before or {}):
        yield EVENTS[unit.type]
    if unit.type == "CarePlan" and (before is None or _content(before) != _content(resource)):
        yield EVENTS[unit.type]


def _version(tx: Transaction, unit: UnitRow, back: int) -> Resource | None:
    kind, _, id = str(unit.resource).partition("/")
    row = tx.resources.version(kind, id, (unit.version or 0) + back)
    return loads(row.body) if row is not None else None


def is_outreach(communication: Resource) -> bool:
    """Tell whether a Communication goes to somebody else than the member's own people."""
    recipients = communication.get("recipient", ())
    return any(referred_type(one) not in _FAMILY for one in recipients)


def _is_first(tx: Transaction, unit: UnitRow) -> bool:
    """Tell whether no other outreach about the member is on record."""
    if unit.version != 1:
        return False
    rows = tx.resources.of_member("Communication", tx.crosswalk.same(str(unit.member)))
    others = (row for row in rows if f"{row.type}/{row.id}" != unit.resource)
    return not any(is_outreach(loads(row.body)) for row in others)


def _people(team: Resource) -> frozenset[str]:
    members = (one.get("member") or {} for one in team.get("participant", ()))
    return frozenset(str(one.get("reference") or one.get("identifier")) for one in members)


def _content(plan: Resource) -> dict[str, Any]:
    return {name: part for name, part in plan.items() if name not in ("meta", "text")}
