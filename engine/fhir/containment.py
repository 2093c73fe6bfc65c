"""The rules between a resource and the resources that it contains."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from engine.fhir.references import contained_ids, iter_references

_HOLDERS = frozenset({"Bundle", "Parameters"})


class Broken(NamedTuple):
    """Name a broken rule by its key in the specification, its path and what is expected."""

    key: str
    path: str
    expected: str


def broken_containment(resource: dict[str, Any], path: str) -> Iterator[Broken]:
    """Yield what breaks dom-2, dom-4, dom-5 and ref-1 (http://hl7.org/fhir/R4/references.html).

    A Bundle or Parameters contains nothing itself: each resource in it is looked at by its own.
    """
    if resource.get("resourceType") in _HOLDERS:
        return
    contained = resource.get("contained")
    inner = contained if isinstance(contained, list) else []
    for index, item in enumerate(inner):
        if isinstance(item, dict):
            yield from _inner(item, f"{path}.contained[{index}]")
    yield from _unresolved(resource, path)


def _inner(item: dict[str, Any], path: str) -> Iterator[Broken]:
    if "contained" in item:
        yield Broken("dom-2", f"{path}.contained", "contained resources contain no others")
    meta = item.get("meta")
    if isinstance(meta, dict):
        if "versionId" in meta or "lastUpdated" in meta:
            yield Broken("dom-4", f"{path}.meta", "no versionId and no lastUpdated")
        if "security" in meta:
            yield Broken("dom-5", f"{path}.meta.security", "security labels on the container")


def _unresolved(resource: dict[str, Any], path: str) -> Iterator[Broken]:
    ids = contained_ids(resource).keys()
    top = str(resource.get("resourceType", ""))
    for where, reference in iter_references(resource):
        literal = reference.get("reference")
        if isinstance(literal, str) and literal[:1] == "#" and literal[1:] not in ids:
            if literal == "#" and ".contained[" in where:
                continue
            yield Broken("ref-1", path + where[len(top) :], "the id of a contained resource")


def unreferenced(resource: dict[str, Any], path: str) -> Iterator[Broken]:
    """Yield contained resources that nothing refers to and that refer to nothing (dom-3)."""
    contained = resource.get("contained")
    if not isinstance(contained, list):
        return
    pointed: set[Any] = set()
    pointing: set[int] = set()
    for where, reference in iter_references(resource):
        literal = reference.get("reference")
        if isinstance(literal, str) and literal[:1] == "#":
            pointed.add(literal[1:])
            if literal == "#":
                pointing.add(_index(where))
    texts = _local_texts({key: value for key, value in resource.items() if key != "contained"})
    for index, item in enumerate(contained):
        if isinstance(item, dict) and index not in pointing:
            name = item.get("id")
            if name not in pointed and f"#{name}" not in texts:
                yield Broken("dom-3", f"{path}.contained[{index}]", "a reference to its id")


def _index(path: str) -> int:
    _, found, rest = path.partition(".contained[")
    return int(rest.split("]", 1)[0]) if found else -1


def _local_texts(node: Any) -> set[str]:
    """Return every text that starts with #: canonical and uri elements may point inside too."""
    if isinstance(node, str):
        return {node} if node[:1] == "#" else set()
    if isinstance(node, dict):
        node = list(node.values())
    if isinstance(node, list):
        return set().union(*map(_local_texts, node))
    return set()
