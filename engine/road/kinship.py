"""Which whole a sibling belongs to: that of its sender's resources that say the same of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from engine.message import Resource
from engine.transform.crosswalk import Identified, Key, SystemCrosswalk, new_entity
from engine.transform.merging import mark
from engine.transform.references import Unresolved
from engine.transform.siblings import Seam

GROUP = "siblings"
"""The kind of the crosswalk key under which a system's siblings are one entity."""

ALIAS = "sibling"
"""The kind of the key that tells how a destination itself calls a sibling that it was sent."""


def identify_sibling(
    keys: Sequence[Key],
    entities: Mapping[Key, str],
    seam: Seam,
    source: Resource,
    crosswalk: SystemCrosswalk,
) -> Identified:
    """Find the whole of a sibling by its own names, else by what it says the same as others.

    `keys` are what points at the sibling itself, at least one. Where what makes siblings cannot be
    told yet, there is no entity, and nothing is linked.
    """
    found = dict.fromkeys(entities[key] for key in keys if key in entities)
    if len(found) > 1:
        return Identified(next(iter(found)), {}, tuple(found))
    if found:
        entity = next(iter(found))
        return Identified(entity, {key: entity for key in keys if key not in entities})
    said = alike(seam, source, crosswalk)
    if None in said:
        return Identified("", {})
    if "" in said:  # it says nothing that could make it a sibling
        entity = new_entity(keys[0])
        return Identified(entity, dict.fromkeys(keys, entity))
    group = group_key(crosswalk.system, seam, [str(one) for one in said])
    entity = entities.get(group) or new_entity(group)
    return Identified(entity, dict.fromkeys((*keys, group), entity))


def group_key(system: str, seam: Seam, said: Sequence[str]) -> Key:
    """Return the key of a system's siblings that say the same; nobody can read it back."""
    digest = hashlib.sha256("\n".join(said).encode()).hexdigest()[:32]
    return Key(system, GROUP, f"{seam.type_name}|{digest}")


def alike(seam: Seam, source: Resource, crosswalk: SystemCrosswalk) -> list[str | None]:
    """Return what a sibling says of what makes siblings; "" where nothing, None if unknown."""
    return [_said(source.get(name), crosswalk) for _, name in seam.plan.same]


def said_alike(canonical: Resource, seam: Seam) -> list[str]:
    """Return what a canonical resource says of what makes siblings."""
    return [_known(canonical.get(name)) for name, _ in seam.plan.same]


def _said(value: Any, crosswalk: SystemCrosswalk) -> str | None:
    """Return what an element of the source means; "" where it says nothing, None if unknown."""
    if isinstance(value, dict) and ("reference" in value or "identifier" in value):
        found = crosswalk.to_canonical(value, frozenset())
        return None if isinstance(found, Unresolved) else _known(found)
    return _known(value)


def _known(value: Any) -> str:
    if isinstance(value, dict) and isinstance(value.get("reference"), str):
        return str(value["reference"])
    if isinstance(value, dict) and isinstance(value.get("identifier"), dict):
        identifier = value["identifier"]
        return f"{identifier.get('system', '')}|{identifier.get('value', '')}"
    return mark(value)
