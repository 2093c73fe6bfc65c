"""The slow road of validation: every problem of a resource, with its path and what was expected."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from engine.diagnostics import Diagnostic, did_you_mean
from engine.fhir.containment import broken_containment
from engine.fhir.invariants import BY_TYPE, ends_before_start
from engine.fhir.primitives import CHECKS, EXPECTED
from engine.fhir.schema import Element, Schema, Type, Version, schema

MAX_PROBLEMS = 200
"""How many problems one answer lists; a hostile body cannot make it longer."""


def explain(tree: Any, version: Version, path: str | None = None) -> list[Diagnostic]:
    """Return what is wrong with one resource; resources inside it are looked at too."""
    walk = _Walk(schema(version))
    with suppress(_Enough):
        walk.resource(tree, path or _root(tree))
    return walk.problems


def _root(tree: Any) -> str:
    kind = tree.get("resourceType") if isinstance(tree, dict) else None
    return kind[:64] if isinstance(kind, str) else "Resource"


class _Enough(Exception):  # noqa: N818 - never leaves this module
    pass


_OBJECT = "a JSON object"
_SHAPES = {type(None): "null", list: "a list", dict: "an object"}


class _Walk:
    """Walk one tree beside its types and note each problem."""

    def __init__(self, known: Schema) -> None:
        self.schema = known
        self.problems: list[Diagnostic] = []

    def note(
        self,
        code: str,
        message: str,
        path: str,
        expected: str | None = None,
        remedy: str | None = None,
    ) -> None:
        self.problems.append(Diagnostic(code, message, path=path, expected=expected, remedy=remedy))
        if len(self.problems) >= MAX_PROBLEMS:
            raise _Enough

    def resource(self, tree: Any, path: str) -> None:
        if not isinstance(tree, dict):
            self.note("V003", "A resource stands here as something else.", path, _OBJECT)
            return
        kind = tree.get("resourceType")
        if not isinstance(kind, str) or kind not in self.schema.resources:
            self.unknown_resource(kind, path)
            return
        self.members(tree, self.schema.type(kind), path)
        if ".contained[" in path:
            return
        for broken in broken_containment(tree, path):
            self.broken(broken.key, broken.path, broken.expected)

    def unknown_resource(self, kind: Any, path: str) -> None:
        near = did_you_mean(kind[:64], self.schema.resources) if isinstance(kind, str) else None
        self.note(
            "V009",
            "The resourceType is missing or names no type of this FHIR version.",
            f"{path}.resourceType",
            f"a resource type of FHIR {self.schema.version}",
            near,
        )

    def broken(self, key: str, path: str, expected: str) -> None:
        code = {"ref-1": "V012", "dom-2": "V010", "dom-4": "V010", "dom-5": "V010"}.get(key, "V011")
        self.note(code, f"The invariant {key} does not hold.", path, expected)

    def complex(self, node: Any, type_name: str, path: str) -> None:
        if type_name == "Resource":
            self.resource(node, path)
        elif not isinstance(node, dict):
            self.note("V003", f"This is no {type_name}.", path, _OBJECT)
        elif not node:
            self.note("V007", "The object is empty.", path, remedy="leave it out.")
        else:
            self.members(node, self.schema.type(type_name), path)

    def members(self, node: dict[str, Any], found: Type, path: str) -> None:
        for name, value in node.items():
            if name == "resourceType" and found.kind == "resource":
                continue
            element = found.elements.get(name)
            if element is not None:
                self.element(element, value, node, f"{path}.{name}")
            elif not self.sibling(found, name, value, path):
                self.unknown(name, found, path)
        self.required(node, found, path)
        self.choices(node, found, path)
        self.invariants(node, found, path)

    def unknown(self, name: str, found: Type, path: str) -> None:
        self.note(
            "V001",
            f"{found.name} has no such element in FHIR {self.schema.version}.",
            f"{path}.{name[:64]}",
            "an element that the type has",
            did_you_mean(name[:64], found.elements),
        )

    def element(self, element: Element, value: Any, node: dict[str, Any], path: str) -> None:
        if not element.is_list:
            self.one(element, value, path)
            return
        if not isinstance(value, list):
            self.note("V003", "This element may repeat.", path, "a list", "put the value in [ ].")
            return
        if not value:
            self.note("V007", "The list is empty.", path, remedy="leave it out.")
        beside = node.get(f"_{element.name}") if element.is_primitive else None
        self.aligned(value, beside, path)
        for index, item in enumerate(value):
            if item is not None or not isinstance(beside, list):
                self.one(element, item, f"{path}[{index}]")

    def aligned(self, values: list[Any], beside: Any, path: str) -> None:
        if not isinstance(beside, list):
            return
        hole = any(a is None and b is None for a, b in zip(values, beside, strict=False))
        if len(values) != len(beside) or hole:
            self.note(
                "V008",
                "The values and their extensions do not line up.",
                path,
                "two lists of one length, and at each place a value or an extension",
            )

    def one(self, element: Element, value: Any, path: str) -> None:
        if element.codes is not None:
            self.code(element, value, path)
        elif element.is_primitive:
            self.primitive(element.type, value, path)
        elif isinstance(value, list):
            self.note("V003", "This element does not repeat.", path, f"one {element.type}")
        else:
            self.complex(value, element.type, path)

    def code(self, element: Element, value: Any, path: str) -> None:
        codes = element.codes or frozenset()
        if not isinstance(value, str) or value not in codes:
            near = did_you_mean(value[:64], codes) if isinstance(value, str) and value else None
            said = "The code is not in the required value set."
            self.note("V005", said, path, f"one of {_listed(codes)}", near)

    def primitive(self, type_name: str, value: Any, path: str) -> None:
        if isinstance(value, (dict, list)) or value is None:
            found = (
                "null" if value is None else "a list" if isinstance(value, list) else "an object"
            )
            self.note("V003", f"A {type_name} stands here as {found}.", path, EXPECTED[type_name])
        elif value == "":
            self.note("V007", "The text is empty.", path, EXPECTED[type_name], "leave it out.")
        elif not CHECKS[type_name](value):
            self.note("V004", f"The value is no {type_name}.", path, EXPECTED[type_name])

    def sibling(self, found: Type, name: str, value: Any, path: str) -> bool:
        """Check a `_field`; the answer is whether the type has such a primitive element."""
        element = found.elements.get(name[1:]) if name[:1] == "_" else None
        if element is None or not element.is_primitive:
            return False
        path = f"{path}.{element.name}"
        if not element.is_list:
            self.extended(value, path)
        elif not isinstance(value, list) or not value:
            self.note("V003", "The extensions of a list stand in a list.", path, "a list")
        else:
            for index, item in enumerate(value):
                if item is not None:
                    self.extended(item, f"{path}[{index}]")
        return True

    def extended(self, value: Any, path: str) -> None:
        if not isinstance(value, dict) or not value or not value.keys() <= {"id", "extension"}:
            said = "The extension beside a primitive value has another shape."
            self.note("V003", said, path, "an object with id, extension, or both")
            return
        if "id" in value:
            self.primitive("string", value["id"], f"{path}.id")
        if "extension" in value:
            extension = self.schema.type("Extension").elements["extension"]
            self.element(extension, value["extension"], value, f"{path}.extension")

    def required(self, node: dict[str, Any], found: Type, path: str) -> None:
        for element in found.elements.values():
            if not element.required or element.choice or element.name in node:
                continue
            if not element.is_primitive or not _explained(node, element):
                self.note("V002", "A required element is missing.", f"{path}.{element.name}")

    def choices(self, node: dict[str, Any], found: Type, path: str) -> None:
        for choice, variants in found.choices().items():
            there = [v.name for v in variants if v.name in node or f"_{v.name}" in node]
            where = f"{path}.{choice.removesuffix('[x]')}"
            if len(there) > 1:
                self.note("V006", f"{choice} has {len(there)} values.", where, "one of them")
            elif not there and variants[0].required:
                names = _listed(variant.name for variant in variants)
                self.note("V002", "A required element is missing.", where, f"one of {names}")

    def invariants(self, node: dict[str, Any], found: Type, path: str) -> None:
        def has(name: str) -> bool:
            return name in node or f"_{name}" in node

        for rule in BY_TYPE.get(found.name, ()):
            if all(name in found.elements for name in rule.names) and not rule.holds(has):
                self.broken(rule.key, path, rule.expected)
        check = _SPECIAL.get(found.name)
        if check is not None:
            for key, expected in check(node, found):
                self.broken(key, path, expected)


def _explained(node: dict[str, Any], element: Element) -> bool:
    sibling = node.get(f"_{element.name}")
    if element.is_list:
        return isinstance(sibling, list)
    return isinstance(sibling, dict) and "extension" in sibling


def _listed(names: Any) -> str:
    ordered = sorted(names)
    return ", ".join(ordered[:30]) + (", ..." if len(ordered) > 30 else "")


def _extension(node: dict[str, Any], found: Type) -> Iterator[tuple[str, str]]:
    values = [name for name in node if name.removeprefix("_").startswith("value")]
    if bool(values) == ("extension" in node):
        yield "ext-1", "either a value or extensions"


def _period(node: dict[str, Any], found: Type) -> Iterator[tuple[str, str]]:
    start, end = node.get("start"), node.get("end")
    is_moment = CHECKS["dateTime"]
    if is_moment(start) and is_moment(end) and ends_before_start(str(start), str(end)):
        yield "per-1", "an end that is not before the start"


_SPECIAL: dict[str, Callable[[dict[str, Any], Type], Iterator[tuple[str, str]]]] = {
    "Extension": _extension,
    "Period": _period,
}
