"""Take off again what the other direction wrote as a default, by the mark that it left."""

from __future__ import annotations

from typing import Any

from engine.transform.carry import read_carried, side_of
from engine.transform.mapping import Direction, other

Tree = dict[str, Any]


def without_defaults(resource: Tree, mapping: str, direction: Direction) -> Tree:
    """Return a resource without its marked defaults; one that was changed since stays."""
    extensions = resource.get("extension")
    if not isinstance(extensions, list):
        return resource
    kept: list[Any] = []
    out = resource
    for extension in extensions:
        found = read_carried(extension) if isinstance(extension, dict) else None
        mine = found and (found.mapping, found.side) == (mapping, side_of(other(direction)))
        if not (found and mine and found.path.endswith("#default")):
            kept.append(extension)
            continue
        out = _without(out, tuple(found.path.removesuffix("#default").split(".")), found.value())
    if len(kept) == len(extensions):
        return resource
    rest = {key: value for key, value in out.items() if key != "extension"}
    return {**rest, "extension": kept} if kept else rest


def _without(tree: Tree, names: tuple[str, ...], value: Any) -> Tree:
    name, inner = names[0], tree.get(names[0])
    if len(names) == 1:
        if inner != value:
            return tree
        return {key: item for key, item in tree.items() if key != name}
    if not isinstance(inner, dict):
        return tree
    less = _without(inner, names[1:], value)
    if less:
        return {**tree, name: less}
    return {key: item for key, item in tree.items() if key != name}
