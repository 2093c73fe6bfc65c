"""YAML that people write, read safely into plain values that remember their place."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from engine.diagnostics import Diagnostic, Place

MAX_BYTES = 2_000_000
MAX_DEPTH = 60
MAX_NODES = 200_000

_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")

_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The same reader in C where PyYAML has it: eight times as fast, with the same places."""


@dataclass(frozen=True, slots=True)
class Node:
    """Hold one value of a document with the place where it stands.

    `value` is a `dict[str, Node]`, a `list[Node]`, or a scalar: str, int, Decimal-as-str, bool or
    None. `keys` gives the place of each key of a mapping.
    """

    value: Any
    place: Place
    keys: dict[str, Place] = field(default_factory=dict)

    @property
    def is_map(self) -> bool:
        return isinstance(self.value, dict)

    @property
    def is_list(self) -> bool:
        return isinstance(self.value, list)

    def get(self, key: str) -> Node | None:
        """Return the value under `key`, or None where this is no mapping or has no such key."""
        return self.value.get(key) if isinstance(self.value, dict) else None

    def items(self) -> Iterator[tuple[str, Place, Node]]:
        """Yield key, place of the key, and value of a mapping."""
        if isinstance(self.value, dict):
            for key, node in self.value.items():
                yield key, self.keys[key], node

    def plain(self) -> Any:
        """Return the value without places, as dict, list and scalars."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value


class _Refused(Exception):  # noqa: N818 - never leaves this module
    def __init__(self, diagnostic: Diagnostic) -> None:
        self.diagnostic = diagnostic


def read(path: Path, *, name: str | None = None) -> tuple[Node | None, list[Diagnostic]]:
    """Read a YAML file; the answer is its root node, or None with the problems found."""
    shown = name or str(path)
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
    except OSError as error:
        return None, [
            Diagnostic(
                "C001",
                f"The file cannot be read: {error.strerror}.",
                place=Place(shown, 1, 1),
                remedy="check that it exists and that its permissions allow reading.",
            )
        ]
    return parse(text, shown)


def parse(text: bytes | str, name: str) -> tuple[Node | None, list[Diagnostic]]:
    """Parse YAML text by the safe loader, without anchors, tags, merge keys or repeated keys.

    Scalars are read by the JSON rules of YAML 1.2: only `true`, `false`, `null` and plain integers
    are other than text, so `no`, `on`, dates and `1e2` stay what was written.
    """
    raw = text.encode() if isinstance(text, str) else text
    if len(raw) > MAX_BYTES:
        return None, [_problem("C002", f"The file is larger than {MAX_BYTES} bytes.", name, 1, 1)]
    try:
        loader = _Loader(raw)
        try:
            _forbid_aliases(raw, name)
            root = loader.get_single_node()
        finally:
            loader.dispose()
        if root is None:
            return Node({}, Place(name, 1, 1)), []
        return _Reader(name).node(root, 0), []
    except _Refused as refused:
        return None, [refused.diagnostic]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        said = error.problem or "it cannot be read"
        return None, [_problem("C003", f"This is not YAML: {said}.", name, line, column)]
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError):
        line, column = position(raw, _unreadable(raw))
        return None, [_problem("C003", "This is not YAML text in UTF-8.", name, line, column)]


def position(raw: bytes, offset: int) -> tuple[int, int]:
    """Return line and column of a byte, both from 1; columns count characters."""
    start = raw.rfind(b"\n", 0, offset) + 1
    column = len(raw[start:offset].decode("utf-8", "replace")) + 1
    return raw.count(b"\n", 0, offset) + 1, column


def _unreadable(raw: bytes) -> int:
    """Return the offset of the first byte that no YAML text in UTF-8 has."""
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        return error.start
    found = _CONTROL.search(raw)
    return found.start() if found else 0


def _problem(code: str, message: str, name: str, line: int, column: int) -> Diagnostic:
    return Diagnostic(code, message, place=Place(name, line, column))


def _forbid_aliases(raw: bytes, name: str) -> None:
    loader = _Loader(raw)
    depth = count = 0
    try:
        while loader.check_event():
            event = loader.get_event()  # type: ignore[no-untyped-call]
            line, column = event.start_mark.line + 1, event.start_mark.column + 1
            count += 1
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                said = "Anchors and aliases are not read here."
                raise _Refused(_problem("C004", said, name, line, column))
            if getattr(event, "tag", None):
                said = "Tags are not read here."
                raise _Refused(_problem("C004", said, name, line, column))
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if depth > MAX_DEPTH or count > MAX_NODES:
                said = "The document is nested too deep or has too many values."
                raise _Refused(_problem("C002", said, name, line, column))
    finally:
        loader.dispose()


class _Reader:
    """Turn YAML nodes into ours; one reader per document."""

    def __init__(self, name: str) -> None:
        self.name = name

    def place(self, node: yaml.Node) -> Place:
        return Place(self.name, node.start_mark.line + 1, node.start_mark.column + 1)

    def node(self, node: yaml.Node, depth: int) -> Node:
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, depth)
        if isinstance(node, yaml.SequenceNode):
            return Node([self.node(item, depth + 1) for item in node.value], self.place(node))
        return Node(_scalar(node), self.place(node))

    def mapping(self, node: yaml.MappingNode, depth: int) -> Node:
        values: dict[str, Node] = {}
        keys: dict[str, Place] = {}
        for key_node, value_node in node.value:
            place = self.place(key_node)
            if not isinstance(key_node, yaml.ScalarNode):
                raise _Refused(Diagnostic("C003", "A key must be plain text.", place=place))
            key = str(key_node.value)
            if key in values:
                raise _Refused(
                    Diagnostic(
                        "C005",
                        f"The key '{key}' stands twice in this mapping.",
                        place=place,
                        expected=f"each key once (the first is at line {keys[key].line})",
                        remedy="remove one of the two.",
                    )
                )
            keys[key] = place
            values[key] = self.node(value_node, depth + 1)
        return Node(values, self.place(node), keys)


def _scalar(node: yaml.Node) -> Any:
    text = str(node.value)
    if getattr(node, "style", None) in ("'", '"', "|", ">"):
        return text
    match text:
        case "true":
            return True
        case "false":
            return False
        case "null" | "~" | "":
            return None
    digits = text.removeprefix("-")
    if digits.isascii() and digits.isdigit() and (digits == "0" or digits[0] != "0"):
        return int(text) if len(digits) <= 18 else text
    return text
