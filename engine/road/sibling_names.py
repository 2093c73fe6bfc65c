"""Under which ids a system knows the siblings of a whole, as the crosswalk stands."""

from __future__ import annotations

from collections.abc import Sequence

from engine.road.kinship import ALIAS
from engine.transform.crosswalk import Key, Links
from engine.transform.sibling_ids import sibling_ids
from engine.transform.siblings import Part, Seam


def names_at(
    seam: Seam, parts: Sequence[Part], entity: str, system: str, links: Links
) -> list[str]:
    """Return the id of each part at a system: as it came, as it was sent, or as it will be."""
    known = known_at(seam, entity, system, links)
    own = _aliases(seam, entity, system, links)
    ids = sibling_ids(seam, parts, entity, system, known)
    return [own.get(id, id) for id in ids]


def known_at(seam: Seam, entity: str, system: str, links: Links) -> frozenset[str]:
    """Return the ids of a whole's siblings that a system knows."""
    return frozenset(
        key.value.partition("/")[2]
        for key in links.known.get(entity, ())
        if key.kind == "reference" and key.system == system and key.type == seam.type_name
    )


def alias_key(system: str, type_name: str, sent: str, own: str) -> Key:
    """Return the key that says: what was sent under one id, the system itself calls another."""
    return Key(system, ALIAS, f"{type_name}|{sent}|{own}")


def _aliases(seam: Seam, entity: str, system: str, links: Links) -> dict[str, str]:
    found: dict[str, str] = {}
    for key in links.known.get(entity, ()):
        if key.kind == ALIAS and key.system == system and key.type == seam.type_name:
            _, sent, own = key.value.split("|", 2)
            found.setdefault(sent, own)
    return found
