"""Where carried values may go: home to the dialect that they came from, and nowhere else.

A carried value is JSON text that no rule about content can read. So it stays on record and leaves
only towards the mapping that carried it; and whatever a system sends in the shape of a carried
value, other than what this engine gave it, is sealed, so that it is never read as one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from engine.diagnostics import Diagnostic, Severity
from engine.fhir import json
from engine.transform.carry import CARRIED, carried, read_carried

SEALED = "https://carelane.example/fhir/StructureDefinition/sealed"
"""Like CARRIED in shape: an extension that came in looking like ours, kept as mere text."""

_OURS = (CARRIED, SEALED)
_ALIKE = CARRIED.removesuffix("carried").encode()
Tree = Any
Change = Callable[[dict[str, Any]], "dict[str, Any] | None"]


def mentions(text: bytes) -> bool:
    """Tell whether a resource, written as JSON by us, may hold anything carried or sealed."""
    return _ALIKE in text and any(url.encode() in text for url in _OURS)


def received(resource: dict[str, Any], mapping: str) -> dict[str, Any]:
    """Return what a system sent, everything sealed that only looks like our own carrying."""

    def seal(extension: dict[str, Any]) -> dict[str, Any]:
        found = read_carried(extension)
        if found is not None and (found.mapping, found.side) == (mapping, "canonical"):
            return extension
        return {**carried(mapping, "dialect", "extension", extension), "url": SEALED}

    out: dict[str, Any] = changed(resource, seal)
    return out


def leaving(resource: dict[str, Any], mapping: str) -> tuple[dict[str, Any], list[Diagnostic]]:
    """Return a canonical resource with only what goes home by this mapping, and what stayed."""
    stayed: list[str] = []

    def keep(extension: dict[str, Any]) -> dict[str, Any] | None:
        whose = _whose(extension)
        if whose == (mapping, "dialect"):
            return extension
        stayed.append(f"{whose[0]}" if whose else "")
        return None

    out: dict[str, Any] = changed(resource, keep)
    said = "A value carried from another dialect stays on record and is not sent."
    path = f"{resource.get('resourceType')}.extension"
    notes = [Diagnostic("T020", said, Severity.INFORMATION, path=path) for _ in stayed]
    return out, notes


def home(resource: dict[str, Any]) -> dict[str, Any]:
    """Return what goes home with everything unsealed that it sent itself."""

    def unseal(extension: dict[str, Any]) -> dict[str, Any] | None:
        if extension.get("url") != SEALED:
            return extension
        value = json.loads(extension["extension"][3]["valueString"].encode())
        return value if isinstance(value, dict) else None

    out: dict[str, Any] = changed(resource, unseal)
    return out


def without(tree: Tree) -> Tree:
    """Return a tree with nothing carried or sealed in it; the tree itself where nothing was."""
    return changed(tree, lambda extension: None)


def is_ours(extension: Tree) -> bool:
    """Tell whether an extension is one in which values are carried or sealed."""
    return isinstance(extension, dict) and extension.get("url") in _OURS


def _whose(extension: dict[str, Any]) -> tuple[str, str] | None:
    found = read_carried({**extension, "url": CARRIED})
    return (found.mapping, found.side) if found else None


def changed(tree: Tree, change: Change) -> Tree:
    """Return a tree with each carried or sealed extension changed, or gone where None comes."""
    if isinstance(tree, list):
        items = [_emptied(changed(item, change), item) for item in tree]
        same = all(new is old for new, old in zip(items, tree, strict=True))
        return tree if same else items
    if not isinstance(tree, dict):
        return tree
    new = dict(_parts(tree, change))
    same = len(new) == len(tree) and all(new[name] is tree[name] for name in new)
    return tree if same else new


def _emptied(new: Tree, old: Tree) -> Tree:
    return None if new is not old and new in ({}, []) else new


def _parts(tree: dict[str, Any], change: Change) -> Iterator[tuple[str, Tree]]:
    for name, value in tree.items():
        if name in ("extension", "modifierExtension") and isinstance(value, list):
            new: Tree = [change(one) if is_ours(one) else changed(one, change) for one in value]
            same = all(a is b for a, b in zip(new, value, strict=True))
            new = value if same else [one for one in new if one]
        else:
            new = changed(value, change)
        if new is not value and isinstance(new, list):
            new = _gapless(name, new)
        if new is value or new not in ({}, []):
            yield name, new


def _gapless(name: str, items: list[Tree]) -> list[Tree]:
    """Return a list without what was emptied; siblings of primitives keep their places."""
    if name.startswith("_") and any(item is not None for item in items):
        return items
    return [item for item in items if item is not None]
