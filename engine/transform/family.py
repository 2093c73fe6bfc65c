"""Siblings through an adapter alone: resources of a dialect to wholes, and a whole to siblings.

On the road the same is done by `engine.road.whole`, with the record and the crosswalk at hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from engine.diagnostics import Diagnostic, has_errors
from engine.message import Resource
from engine.transform.adapter import Adapter
from engine.transform.carry import carried, read_carried
from engine.transform.merging import mark
from engine.transform.references import IDENTITY, Crosswalk
from engine.transform.result import Result
from engine.transform.sibling_ids import sibling_ids
from engine.transform.siblings import Part, Whole

WHOLE = "$whole"
"""The path under which the first of several siblings carries what belongs to none of them."""


@dataclass(frozen=True, slots=True)
class Family:
    """Hold what some resources became together; `members` are their places among those given."""

    members: tuple[int, ...]
    result: Result


def to_wholes(
    adapter: Adapter, resources: Sequence[Resource], crosswalk: Crosswalk = IDENTITY
) -> list[Family]:
    """Return the wholes that resources of one dialect and type are, in the order of their firsts.

    A resource that the adapter refuses stands alone, with its diagnostics; so does one that does
    not say what makes siblings. Raises ValueError where the mapping declares none.
    """
    seam = adapter.seam
    if seam is None:
        raise ValueError(f"{adapter.name} declares no siblings")
    groups: dict[Any, list[tuple[int, Result, Any]]] = {}
    for index, resource in enumerate(resources):
        bare, memory = _recalled(adapter.name, resource)
        result = adapter.to_canonical(bare, crosswalk)
        made = result.resource
        whose = [made.get(name) for name, _ in seam.plan.same] if made else []
        alone = not whose or None in whose
        groups.setdefault(index if alone else mark(whose), []).append((index, result, memory))
    return [_family(adapter, name, members) for name, members in groups.items()]


def _family(adapter: Adapter, name: Any, members: list[tuple[int, Result, Any]]) -> Family:
    places = tuple(index for index, _, _ in members)
    if isinstance(name, int):
        return Family(places, members[0][1])
    assert adapter.seam is not None
    seam = adapter.seam
    memory = next((kept for _, _, kept in members if kept), None)
    id = str(memory["id"]) if memory else mark(f"{adapter.name} {name}")
    parts = [
        seam.part(resource, {"": str(resource.get("id", f"{place}"))})
        for place, result, _ in members
        if (resource := result.resource) is not None
    ]
    parts = _unnamed(adapter, parts, id)
    made = seam.put_together(Whole(tuple(parts), memory["rest"] if memory else {}), id)
    said = (*(one for _, result, _ in members for one in result.diagnostics), *made.notes)
    unresolved = tuple(one for _, result, _ in members for one in result.unresolved)
    return Family(places, Result(None if has_errors(said) else made.resource, said, unresolved))


def _unnamed(adapter: Adapter, parts: list[Part], id: str) -> list[Part]:
    """Return parts without the ids that were made when their whole was taken apart."""
    assert adapter.seam is not None
    bare = [replace(part, ids={}) for part in parts]
    made = sibling_ids(adapter.seam, bare, id, "")
    return [
        without if part.ids[""] == name else part
        for part, without, name in zip(parts, bare, made, strict=True)
    ]


def to_siblings(adapter: Adapter, whole: Resource, crosswalk: Crosswalk = IDENTITY) -> list[Result]:
    """Return a canonical whole as the resources that the dialect keeps instead of it.

    What belongs to none of them travels in an extension of the first. Raises ValueError where the
    mapping declares no siblings.
    """
    seam = adapter.seam
    if seam is None:
        raise ValueError(f"{adapter.name} declares no siblings")
    apart = seam.take_apart(whole)
    ids = sibling_ids(seam, apart.parts, str(whole.get("id", "")), "")
    results: list[Result] = []
    for part, id in zip(apart.parts, ids, strict=True):
        results.append(adapter.to_dialect(seam.resource(part, id), crosswalk))
    if any(not part.ids for part in apart.parts):
        memory = {"id": whole.get("id", ""), "rest": apart.rest}
        results[0] = _carrying(results[0], adapter.name, memory, seam.stayed(apart))
    return results


def _carrying(result: Result, name: str, memory: Any, notes: Sequence[Diagnostic]) -> Result:
    if result.resource is None:
        return result
    extension = carried(name, "canonical", WHOLE, memory)
    extensions = [*result.resource.get("extension", ()), extension]
    resource = {**result.resource, "extension": extensions}
    return Result(resource, (*result.diagnostics, *notes), result.unresolved)


def _recalled(name: str, resource: Resource) -> tuple[Resource, Any]:
    """Return a sibling without what it carries of its whole, and that."""
    for extension in resource.get("extension") or ():
        found = read_carried(extension) if isinstance(extension, dict) else None
        if found and (found.mapping, found.side, found.path) == (name, "canonical", WHOLE):
            others = [one for one in resource["extension"] if one is not extension]
            bare = {key: value for key, value in resource.items() if key != "extension"}
            return (bare | {"extension": others} if others else bare), found.value()
    return resource, None
