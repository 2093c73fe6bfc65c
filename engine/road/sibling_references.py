"""References to a whole, for a destination that keeps its siblings: to them, or the one meant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.fhir.references import is_reference
from engine.message import Resource
from engine.road.sibling_names import known_at, names_at
from engine.road.trip import Trip
from engine.transform.crosswalk import SIBLING, literal

Tree = Any


def referring(told: Resource, destination: str, trip: Trip) -> Resource:
    """Return a canonical resource whose references to wholes mean what the destination keeps.

    In a list, a reference to a whole becomes one to each of its siblings; a single one means the
    first. One that came for a certain sibling goes back for that one. The resource itself comes
    back where nothing changes.
    """
    out: Resource = _walked(told, destination, trip)
    return out


def _walked(tree: Tree, destination: str, trip: Trip) -> Tree:
    if isinstance(tree, list):
        found = _told_once(tree, destination, trip)
        same = len(found) == len(tree) and all(a is b for a, b in zip(found, tree, strict=True))
        return tree if same else found
    if not isinstance(tree, dict):
        return tree
    if _is_meant(tree, trip):
        return _meant(tree, destination, trip)[0]
    made = {name: _walked(value, destination, trip) for name, value in tree.items()}
    return tree if all(made[name] is tree[name] for name in tree) else made


def _told_once(items: Sequence[Tree], destination: str, trip: Trip) -> list[Tree]:
    """Return what becomes of the items of a list; no reference to a whole is told twice over."""
    found: list[Tree] = []
    told: list[Tree] = []
    for item in items:
        if not (isinstance(item, dict) and _is_meant(item, trip)):
            found.append(_walked(item, destination, trip))
            continue
        fresh = [one for one in _meant(item, destination, trip) if one not in told]
        told += fresh
        found += fresh
    return found


def _is_meant(tree: dict[str, Any], trip: Trip) -> bool:
    target = tree.get("reference")
    if not isinstance(target, str) or "resourceType" in tree or not is_reference(tree):
        return False
    return target.partition("/")[0] in trip.project.sibling_types


def _meant(reference: dict[str, Any], destination: str, trip: Trip) -> Sequence[dict[str, Any]]:
    """Return the references of the destination that stand for one to a whole, at least one."""
    bare, marked = _unmarked(reference)
    found = literal(str(reference["reference"]))
    seam = trip.project.siblings.get((destination, found.type)) if found else None
    if seam is None or found is None or found.base is not None:
        return [bare]
    links = trip.facts.links
    own = [id for system, id in marked if system == destination]
    ids = [id for id in own if id in known_at(seam, found.id, destination, links)]
    whole = _on_record(found.local, trip)
    if not ids and whole is not None:
        parts = seam.take_apart(whole).parts
        named = zip(parts, names_at(seam, parts, found.id, destination, links), strict=True)
        ids = [id for part, id in named if not part.aside]
    base = trip.project.naming.bases[destination]
    return [{**bare, "reference": f"{base}/{found.type}/{id}"} for id in ids] or [bare]


def _on_record(name: str, trip: Trip) -> Resource | None:
    facts = trip.facts
    known = facts.supporting.get(name) or facts.content.get(name)
    recorded = facts.wholes.get(name)
    return known or (recorded.resource if recorded is not None else None)


def _unmarked(reference: dict[str, Any]) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Return a reference without the mark of the sibling that it came for, and what it says."""
    extensions = reference.get("extension")
    marks = [one for one in extensions or () if one.get("url") == SIBLING]
    if not marks:
        return reference, []
    said = (str(one.get("valueString", "")).partition("|") for one in marks)
    others = [one for one in extensions or () if one.get("url") != SIBLING]
    bare = {name: value for name, value in reference.items() if name != "extension"}
    return bare | ({"extension": others} if others else {}), [(a, b) for a, _, b in said]
