"""Third on the road: which entity each resource is, and whom it is about."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from engine.diagnostics import Diagnostic
from engine.fhir.json import dumps
from engine.message import Hold, Next, Outcome, Resource, Unit
from engine.road.facts import Facts
from engine.road.kinship import identify_sibling
from engine.transform.crosswalk import (
    Identified,
    Key,
    Naming,
    SystemCrosswalk,
    identify,
    literal,
    reference_key,
)
from engine.transform.siblings import Seam

NO_SEAMS: Mapping[str, Seam] = MappingProxyType({})
_MEMBER_ELEMENTS = ("subject", "patient", "for", "beneficiary", "individual")


class Names(Struct, frozen=True):
    """Hold what a message's entries turned out to be: `local` their names, `links` new links."""

    units: tuple[Outcome, ...]
    local: Mapping[str, str]
    links: Mapping[Key, str]


def with_keys(units: Iterable[Unit], system: str, naming: Naming) -> tuple[Unit, ...]:
    """Return units that know what points at them: it is asked for at every step."""
    return tuple([replace(unit, keys=naming.own_keys(system, unit.source)) for unit in units])


def own_keys(unit: Unit, system: str, naming: Naming) -> Sequence[Key]:
    """Return what points at a unit that came from `system`."""
    return naming.own_keys(system, unit.source) if unit.keys is None else unit.keys


def identify_units(
    units: Sequence[Unit],
    system: str,
    naming: Naming,
    facts: Facts,
    seams: Mapping[str, Seam] = NO_SEAMS,
) -> Names:
    """Give every unit its entity; a unit whose identifiers disagree is held for a person.

    Types in `seams` are kept as siblings by the system: theirs is found once all others are.
    """
    if seams and any(unit.type in seams for unit in units):
        return _with_siblings(units, system, naming, facts, seams)
    entities = dict(facts.links.entities)
    outcomes: list[Outcome] = []
    local: dict[str, str] = {}
    found: dict[Key, str] = {}
    for unit in units:
        keys = own_keys(unit, system, naming)
        known = identify(keys, entities, keys[0] if keys else _fallback(system, unit))
        named = replace(unit, entity=known.entity)
        if known.conflict:
            outcomes.append(_conflict(named, known))
            continue
        outcomes.append(Next(named))
        entities |= known.links
        found |= known.links
        canonical = f"{unit.type}/{known.entity}"
        for name in _names(unit, naming.bases[system]):
            local[name] = canonical
    return Names(tuple(outcomes), local, found)


def _with_siblings(
    units: Sequence[Unit], system: str, naming: Naming, facts: Facts, seams: Mapping[str, Seam]
) -> Names:
    others = [unit for unit in units if unit.type not in seams]
    names = identify_units(others, system, naming, facts)
    local, found = dict(names.local), dict(names.links)
    made = {outcome.unit.entry: outcome for outcome in names.units}
    crosswalk = SystemCrosswalk(system, naming, facts.links.including(found), local)
    entities = {**facts.links.entities, **found}
    for unit in units:
        if unit.type not in seams:
            continue
        keys = [*own_keys(unit, system, naming)]
        if not isinstance(unit.source.get("id"), str):
            keys.append(_fallback(system, unit))
        known = identify_sibling(keys, entities, seams[unit.type], unit.source, crosswalk)
        own = keys[-1].value.partition("/")[2]
        named = replace(unit, entity=known.entity, sibling=own)
        made[unit.entry] = _conflict(named, known) if known.conflict else Next(named)
        entities |= known.links
        found |= known.links
        if known.entity and not known.conflict:
            for name in _names(unit, naming.bases[system]):
                local[name] = f"{unit.type}/{known.entity}"
    return Names(tuple(made[unit.entry] for unit in units), local, found)


def _fallback(system: str, unit: Unit) -> Key:
    """Name a resource without id or identifier by its fullUrl, else by its own content."""
    if unit.full_url:
        return reference_key(system, f"{unit.type}/{unit.full_url}")
    return reference_key(system, f"{unit.type}/{_content_name(unit.source)}")


def _content_name(resource: Resource) -> str:
    return hashlib.sha256(dumps(resource)).hexdigest()[:32]


def _names(unit: Unit, base: str) -> Iterable[str]:
    if unit.full_url:
        yield unit.full_url
        if unit.full_url.startswith("urn:uuid:") and not unit.source.get("id"):
            yield f"{unit.type}/{unit.full_url.removeprefix('urn:uuid:')}"
    if isinstance(unit.source.get("id"), str):
        own = f"{unit.type}/{unit.source['id']}"
        yield own
        yield f"{base}/{own}"


def _conflict(unit: Unit, known: Identified) -> Hold:
    problem = Diagnostic(
        "K002",
        f"The identifiers of this {unit.type} point to {len(known.conflict)} different entities.",
        path=f"{unit.where}.identifier",
        remedy="check whether they are the same, then `carelane crosswalk merge`.",
    )
    return Hold(unit, "crosswalk-conflict", (problem,), claims=known.conflict)


def member_of(canonical: Resource) -> str | None:
    """Return the canonical id of the Patient that a canonical resource is about, if any."""
    if canonical["resourceType"] == "Patient":
        found = canonical.get("id")
        return found if isinstance(found, str) else None
    for element in _MEMBER_ELEMENTS:
        if member := _patient(canonical.get(element)):
            return member
    return None


def _patient(reference: Any) -> str | None:
    target = reference.get("reference") if isinstance(reference, dict) else None
    found = literal(target) if isinstance(target, str) else None
    return found.id if found and found.type == "Patient" and found.base is None else None
