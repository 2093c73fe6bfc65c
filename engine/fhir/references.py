"""References in a resource: where they stand and what they point to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any, TypeGuard

import msgspec

from engine.fhir.json import dumps, loads
from engine.fhir.primitives import MAX_STRING
from engine.fhir.reference_places import LOOKED, Looked, places_in

Pair = tuple[str, str]

_RELATIVE = re.compile(
    r"([A-Z][A-Za-z]{1,63})/([A-Za-z0-9\-.]{1,64})(?:/_history/[A-Za-z0-9\-.]{1,64})?"
)
_ABSOLUTE = re.compile(r"https?://[^\s?#]+/" + _RELATIVE.pattern)
_URN = re.compile(r"urn:(?:uuid|oid):\S+")
_STATED = re.compile(r'"reference"\s*:\s*("[^"\\]*(?:\\.[^"\\]*)*")')
_CONDITIONAL = re.compile(r"([A-Z][A-Za-z]{1,63})\?(\S+)")

_is_bare = frozenset({"reference", "display"}).issuperset
_REFERENCE_KEYS = frozenset({"id", "extension", "reference", "type", "identifier", "display"})


def iter_references(resource: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield path and dict of every Reference, in contained resources and extensions too.

    A Reference is told by its shape: `reference` is text, or `identifier` is one object beside
    nothing that a Reference does not have, under a name that is no list of such things
    (http://hl7.org/fhir/R4/references.html). The dicts are those of the tree, not copies.
    """
    yield from _walk(resource, str(resource.get("resourceType", "")))


def _walk(node: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if "resourceType" not in node and is_reference(node):
        yield path, node
    for name, value in node.items():
        if isinstance(value, dict):
            yield from _walk(value, f"{path}.{name}")
        elif isinstance(value, list):
            for index, item in enumerate(value):
                if isinstance(item, dict):
                    yield from _walk(item, f"{path}.{name}[{index}]")


def references_of(resource: dict[str, Any], *, extended: bool = True) -> list[dict[str, Any]]:
    """Return what `iter_references` yields, in its order and without the paths: much faster.

    `extended` is false where it is known that no extension stands anywhere in the resource. Then
    only those elements are looked into of which FHIR says that a Reference can stand in them.
    """
    found: list[dict[str, Any]] = []
    places = None if extended else places_in(str(resource.get("resourceType")))
    if places is None or not _fits(resource, places, found):
        found.clear()
        _collect(resource, found)
    return found


def _fits(resource: dict[str, Any], places: Any, found: list[dict[str, Any]]) -> bool:
    """Look where FHIR says that References can stand; tell whether nothing stands elsewhere."""

    def look(_: Any, value: Any) -> Looked:
        if type(value) is dict and _is_bare(value) and type(value.get("reference")) is str:
            found.append(value)
        else:
            _collect_in(value, found)
        return LOOKED

    try:
        msgspec.convert(resource, places, dec_hook=look)
    except msgspec.ValidationError:
        return False
    return True


def _collect_in(value: Any, found: list[dict[str, Any]]) -> None:
    if type(value) not in (dict, list):
        raise ValueError("no object stands here")
    for item in value if type(value) is list else (value,):
        if type(item) is dict:
            _collect(item, found)


def _collect(node: dict[str, Any], found: list[dict[str, Any]]) -> None:
    may_refer = "reference" in node or "identifier" in node
    if may_refer and "resourceType" not in node and is_reference(node):
        found.append(node)
    for value in node.values():
        kind = type(value)
        if kind is dict:
            _collect(value, found)
        elif kind is list:
            for item in value:
                if type(item) is dict:
                    _collect(item, found)


def literals_in(tree: Any) -> list[str]:
    """Return the literals of all References in a tree of JSON, each once, as they follow in it.

    They are found in the text of the tree: much faster than looking at each of its parts. Any other
    text under the name `reference` counts as well.
    """
    return literals_stated(dumps(tree))


def literals_stated(text: bytes) -> list[str]:
    """Return what `literals_in` finds in a tree, given as `dumps` wrote it."""
    found = dict.fromkeys(_STATED.findall(text.decode()))
    return [loads(one.encode()) if "\\" in one else one[1:-1] for one in found]


def renamed(tree: Any, names: Mapping[str, str]) -> Any:
    """Return a tree whose references read otherwise: `names` has the new literal for the old one.

    The input is not changed.
    """
    if isinstance(tree, list):
        return [renamed(item, names) for item in tree]
    if not isinstance(tree, dict):
        return tree
    made = {name: renamed(value, names) for name, value in tree.items()}
    target = made.get("reference")
    if isinstance(target, str) and target in names:
        made["reference"] = names[target]
    return made


def distinct(references: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield references, of those with the same literal and no identifier only the first."""
    seen: set[Any] = set()
    for reference in references:
        if "identifier" not in reference:
            literal = reference.get("reference")
            if literal in seen:
                continue
            seen.add(literal)
        yield reference


def is_reference(node: dict[str, Any]) -> bool:
    """Tell whether an object has the shape of a Reference."""
    if not isinstance(node.get("reference"), str) and not isinstance(node.get("identifier"), dict):
        return False
    return _REFERENCE_KEYS.issuperset(node) or all(
        name.removeprefix("_") in _REFERENCE_KEYS for name in node
    )


def is_pointer(literal: Any) -> TypeGuard[str]:
    """Tell whether a value is the literal of a Reference to another resource."""
    return isinstance(literal, str) and 0 < len(literal) <= MAX_STRING and literal[0] != "#"


def split_reference(reference: str) -> Pair | None:
    """Return type and id of a literal reference, relative or absolute; None for other shapes."""
    found = _RELATIVE.fullmatch(reference) or _ABSOLUTE.fullmatch(reference)
    return (found[1], found[2]) if found else None


def split_conditional(reference: str) -> Pair | None:
    """Return type and query of a conditional reference (`Patient?identifier=...`), or None."""
    found = _CONDITIONAL.fullmatch(reference)
    return (found[1], found[2]) if found else None


def contained_id(reference: str) -> str | None:
    """Return the id that a reference into `contained` names, or None; "" means the container."""
    return reference[1:] if reference.startswith("#") else None


def is_urn(reference: str) -> bool:
    """Tell whether a reference is a `urn:uuid:` or `urn:oid:`, as inside a Bundle."""
    return _URN.fullmatch(reference) is not None


def reference_type(reference: dict[str, Any]) -> str | None:
    """Return the resource type that a Reference names by its literal, query or `type`."""
    literal = reference.get("reference")
    if isinstance(literal, str):
        pair = split_reference(literal) or split_conditional(literal)
        if pair:
            return pair[0]
    stated = reference.get("type")
    return stated if isinstance(stated, str) else None


def contained_ids(resource: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the contained resources by id; those without an id are left out."""
    contained = resource.get("contained")
    if not isinstance(contained, list):
        return {}
    return {
        item["id"]: item
        for item in contained
        if isinstance(item, dict) and isinstance(item.get("id"), str)
    }


def contained_cycle(resource: dict[str, Any]) -> tuple[str, ...] | None:
    """Return the ids along a circle of contained resources that refer to each other, or None."""
    inner = contained_ids(resource)
    edges = {name: _contained_targets(item) & inner.keys() for name, item in inner.items()}
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        return tuple(reversed(error.args[1]))
    return None


def _contained_targets(resource: dict[str, Any]) -> set[str]:
    literals = (node.get("reference") for _, node in iter_references(resource))
    return {text[1:] for text in literals if isinstance(text, str) and text[:1] == "#"}
