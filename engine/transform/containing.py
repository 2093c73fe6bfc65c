"""Contained resources of siblings: which of them an item needs, and their names kept apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from engine.fhir import references


def needed(contained: Any, *trees: Any) -> list[Any] | None:
    """Return the contained resources that some trees refer to, and those that these refer to."""
    by_id = {inner.get("id"): inner for inner in contained or () if isinstance(inner, dict)}
    found: set[Any] = set()
    waiting = [name for tree in trees for name in _names(tree)]
    while waiting:
        name = waiting.pop()
        if name in by_id and name not in found:
            found.add(name)
            waiting += _names(by_id[name])
    return [inner for inner in contained or () if inner.get("id") in found] or None


def renamed(tree: Any, turned: Mapping[str, str]) -> Any:
    """Return a tree whose references into `contained` name other ids."""
    return references.renamed(tree, {f"#{old}": f"#{new}" for old, new in turned.items()})


def _names(tree: Any) -> Iterator[str]:
    """Yield the ids of contained resources that a tree refers to."""
    if isinstance(tree, list):
        for item in tree:
            yield from _names(item)
    elif isinstance(tree, dict):
        target = tree.get("reference")
        if isinstance(target, str) and target[:1] == "#":
            yield target[1:]
        for value in tree.values():
            yield from _names(value)
