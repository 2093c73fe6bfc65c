"""Merge a mapping into the one that it extends, path by path, before it is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator

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
        shown = name if isinstance(name, str) else "[...]"
        return (
            root,
            [
                Diagnostic(
                    "M025",
                    f"The mapping '{shown}' that this one extends {said}.",
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


def nested(root: Node) -> tuple[Node, list[Diagnostic]]:
    """Return the mapping with `participant[].role: ...` written out as fields in fields."""
    fields = root.get("fields")
    if fields is None or not fields.is_map:
        return root, []
    problems: list[Diagnostic] = []
    out = _nested_fields(fields, problems)
    return Node(root.value | {"fields": out}, root.place, root.keys), problems


def _nested_fields(fields: Node, problems: list[Diagnostic]) -> Node:
    out = Node({}, fields.place, {})
    written_out: set[str] = set()
    for key, place, node in fields.items():
        head, dot, tail = key.partition("[].")
        if dot:
            key = f"{head}[]"
            inner = Node({tail: node}, place, {tail: place})
            node = Node({"fields": _nested_fields(inner, problems)}, place, {"fields": place})
            written_out.add(key)
        elif (below := node.get("fields")) is not None and below.is_map:
            inner = _nested_fields(below, problems)
            node = Node(node.value | {"fields": inner}, node.place, node.keys)
        if dot or key in written_out:
            problems += _twice(out.get(key), node, key)
            out = _merge_fields(out, Node({key: node}, place, {key: place}))
        else:
            out = Node(out.value | {key: node}, out.place, out.keys | {key: place})
    return out


def _twice(before: Node | None, after: Node, path: str) -> Iterator[Diagnostic]:
    """Yield a problem for each inner element that has two rules in one file."""
    old, new = before and before.get("fields"), after.get("fields")
    if old is None or new is None:
        return
    for key, place, node in new.items():
        same = _same(key, old.value) if old.is_map else None
        if same is None:
            continue
        deeper = list(_twice(old.value[same], node, f"{path}.{key}"))
        yield from deeper
        if deeper or (old.value[same].get("fields") and node.get("fields")):
            continue
        said = f"The dialect element '{path}.{key}' is already taken in line {old.keys[same].line}."
        yield Diagnostic("M012", said, place=place, expected="one rule for each element")
