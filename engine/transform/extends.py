"""Merge a mapping into the one that it extends, path by path, before it is read."""

from __future__ import annotations

from collections.abc import Callable

from engine.diagnostics import Diagnostic, did_you_mean
from engine.document import Node

Load = Callable[[str], Node | None]

_BY_PATH = ("fields", "canonical_only")
_BY_KEY = ("dialect", "canonical", "others")
MAX_DEPTH = 8


def extended(
    root: Node, load: Load, known: list[str], seen: tuple[str, ...] = ()
) -> tuple[Node, list[Diagnostic], tuple[str, ...]]:
    """Return the mapping with everything it extends, the problems, and the names of those."""
    named = root.get("extends")
    if named is None:
        return root, [], seen
    name = named.value
    parent = load(name) if isinstance(name, str) and name not in seen else None
    if parent is None or len(seen) >= MAX_DEPTH:
        said = "leads back to itself" if name in seen else "does not exist"
        return (
            root,
            [
                Diagnostic(
                    "M025",
                    f"The mapping '{name}' that this one extends {said}.",
                    place=named.place,
                    expected="<dialect>/<resource>",
                    remedy=did_you_mean(str(name), known),
                )
            ],
            seen,
        )
    parent, problems, names = extended(parent, load, known, (*seen, name))
    return _merge(parent, root), problems, names


def _merge(parent: Node, child: Node) -> Node:
    values, keys = dict(parent.value), dict(parent.keys)
    for key, place, node in child.items():
        old = values.get(key)
        if old is not None and key in _BY_PATH:
            node = _merge_fields(old, node)
        elif old is not None and key in (*_BY_KEY, "constants", "defaults"):
            node = _merge_keys(old, node)
        elif old is not None and key == "siblings" and old.is_map and node.is_map:
            node = _merge(old, node)
        values[key], keys[key] = node, place
    return Node(values, child.place, keys)


def _merge_keys(parent: Node, child: Node) -> Node:
    if not (parent.is_map and child.is_map):
        return child
    return Node(parent.value | child.value, child.place, parent.keys | child.keys)


def _merge_fields(parent: Node, child: Node) -> Node:
    if not (parent.is_map and child.is_map):
        return child
    values, keys = dict(parent.value), dict(parent.keys)
    for key, place, node in child.items():
        same = _same(key, values)
        if same is not None:
            node = _merge_rule(values.pop(same), node)
            del keys[same]
        values[key], keys[key] = node, place
    return Node(values, child.place, keys)


def _same(key: str, values: dict[str, Node]) -> str | None:
    bare = key.removesuffix("[]")
    return next((name for name in values if name.removesuffix("[]") == bare), None)


def _merge_rule(parent: Node, child: Node) -> Node:
    old, new = parent.get("fields"), child.get("fields")
    if old is None or new is None:
        return child
    merged = Node(
        parent.value | child.value | {"fields": _merge_fields(old, new)},
        child.place,
        parent.keys | child.keys,
    )
    return merged


def nested(root: Node) -> Node:
    """Return the mapping with `participant[].role: ...` written out as fields in fields."""
    fields = root.get("fields")
    if fields is None or not fields.is_map:
        return root
    return Node(root.value | {"fields": _nested_fields(fields)}, root.place, root.keys)


def _nested_fields(fields: Node) -> Node:
    out = Node({}, fields.place, {})
    for key, place, node in fields.items():
        head, dot, tail = key.partition("[].")
        if dot:
            key = f"{head}[]"
            inner = Node({tail: node}, place, {tail: place})
            node = Node({"fields": _nested_fields(inner)}, place, {"fields": place})
        elif (below := node.get("fields")) is not None and below.is_map:
            node = Node(node.value | {"fields": _nested_fields(below)}, node.place, node.keys)
        one = Node({key: node}, place, {key: place})
        out = (
            _merge_fields(out, one)
            if dot
            else Node(out.value | {key: node}, out.place, out.keys | {key: place})
        )
    return out
