"""Whom to ask for a member's records: everybody who cares or cared for them, and their insurers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from engine.fhir.dates import covers, moment, period
from engine.gather import renamed, stored
from engine.message import Resource
from engine.project import Project
from engine.store import Transaction
from engine.transform.crosswalk import identifier_key, literal

_MOST = 200
_ENDED_TEAM = frozenset({"inactive", "entered-in-error", "suspended"})
_ENDED_STAY = frozenset({"finished", "cancelled", "entered-in-error"})


@dataclass(frozen=True, slots=True)
class Provider:
    """Name one organization that may hold records: its entity, and why we think so.

    `system` is the system that speaks for it, `None` where none does; `sources` refer to the
    resources that name it.
    """

    organization: str
    current: bool
    sources: tuple[str, ...]
    system: str | None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class _Mention:
    organization: str
    current: bool
    source: str
    name: str | None


def systems_of(tx: Transaction, project: Project) -> dict[str, str]:
    """Return the system that speaks for each organization (by entity)."""
    found = {}
    for name, system in project.config.systems.items():
        organization = system.organization
        key = identifier_key(
            "Organization", {"system": organization.system, "value": organization.value}
        )
        for entity in tx.crosswalk.resolve([key] if key else []).values():
            found[entity] = name
    return found


def providers(
    tx: Transaction, project: Project, member: str, *, asker: str
) -> tuple[Provider, ...]:
    """Return previous and current providers of a member, the current ones first.

    They come from every version of the member's CareTeams, from Encounters and from Coverages, as
    far as these are on record. `asker` is the system that asks; its own organization is left out.
    """
    systems = systems_of(tx, project)
    found: dict[str, list[_Mention]] = {}
    for mention in _mentions(tx, member):
        found.setdefault(mention.organization, []).append(mention)
    listed = [
        Provider(
            organization,
            any(mention.current for mention in mentions),
            tuple(dict.fromkeys(mention.source for mention in mentions)),
            systems.get(organization),
            next((mention.name for mention in mentions if mention.name), None),
        )
        for organization, mentions in found.items()
        if systems.get(organization) != asker
    ]
    return tuple(sorted(listed, key=lambda one: (not one.current, one.organization)))


def named(
    tx: Transaction, project: Project, references: Iterable[Mapping[str, Any]], *, source: str
) -> tuple[Provider, ...]:
    """Return the organizations behind these canonical references."""
    systems = systems_of(tx, project)
    found: dict[str, Provider] = {}
    for reference in references:
        for organization in organizations_of(tx, reference):
            found[organization] = Provider(
                organization, True, (source,), systems.get(organization), reference.get("display")
            )
    return tuple(found.values())


def _mentions(tx: Transaction, member: str) -> Iterator[_Mention]:
    same = tx.crosswalk.same(member)
    for row in tx.resources.of_member("CareTeam", same)[:_MOST]:
        for version in tx.resources.versions("CareTeam", row.id):
            latest = version.version == row.version and not row.deleted
            team = renamed(tx, stored(version))
            for reference, current in _of_team(team, tx.now):
                yield from _as_mentions(tx, reference, current and latest, team)
    for row in tx.resources.of_member("Encounter", same)[:_MOST]:
        stay = renamed(tx, stored(row))
        current = stay.get("status") not in _ENDED_STAY and _covers(stay.get("period"), tx.now)
        yield from _as_mentions(tx, stay.get("serviceProvider"), current, stay)
    for row in tx.resources.of_member("Coverage", same)[:_MOST]:
        cover = renamed(tx, stored(row))
        current = cover.get("status") == "active" and _covers(cover.get("period"), tx.now)
        for payor in cover.get("payor", ()):
            yield from _as_mentions(tx, payor, current, cover)


def _of_team(team: Resource, at: str) -> Iterator[tuple[Mapping[str, Any], bool]]:
    going = team.get("status") not in _ENDED_TEAM and _covers(team.get("period"), at)
    for reference in team.get("managingOrganization", ()):
        yield reference, going
    for participant in team.get("participant", ()):
        current = going and _covers(participant.get("period"), at)
        for name in ("member", "onBehalfOf"):
            if isinstance(participant.get(name), Mapping):
                yield participant[name], current


def _covers(stated: Any, at: str) -> bool:
    """Tell whether a period holds now; one that is absent does, one that is unreadable does not."""
    if stated is None:
        return True
    found, now = period(stated), moment(at)
    return bool(found and now and covers(found, now))


def _as_mentions(
    tx: Transaction, reference: Any, current: bool, source: Resource
) -> Iterator[_Mention]:
    if not isinstance(reference, Mapping):
        return
    name = f"{source['resourceType']}/{source['id']}"
    for organization in organizations_of(tx, reference):
        yield _Mention(organization, current, name, _display(tx, organization))


def _display(tx: Transaction, organization: str) -> str | None:
    row = tx.resources.get("Organization", organization)
    name = stored(row).get("name") if row else None
    return name if isinstance(name, str) else None


def organizations_of(tx: Transaction, reference: Mapping[str, Any]) -> list[str]:
    """Return the organizations (entities) that a canonical reference leads to."""
    target = reference.get("reference")
    found = literal(target) if isinstance(target, str) else None
    if found is None or found.base is not None:
        key = identifier_key("Organization", reference.get("identifier"))
        return list(tx.crosswalk.resolve([key] if key else []).values())
    if found.type == "Organization":
        return [tx.crosswalk.current(found.id) or found.id]
    if found.type == "PractitionerRole" and (row := tx.resources.get(found.type, found.id)):
        role = renamed(tx, stored(row))
        inner = role.get("organization")
        return organizations_of(tx, inner) if isinstance(inner, Mapping) else []
    return []
