"""Check constants and defaults: each value has the shape of the element that it is written to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from engine.diagnostics import Place, did_you_mean
from engine.fhir.primitives import CHECKS, EXPECTED
from engine.fhir.schema import Element, schema
from engine.transform.comparing import typed
from engine.transform.mapping import Direction, Fixed
from engine.transform.plan import Value, Version
from engine.transform.resolve import Resolver


class Fixing(Resolver):
    """Resolve constants and defaults."""

    __slots__ = ()

    def fixed(
        self, given: Mapping[Direction, tuple[Fixed, ...]]
    ) -> dict[Direction, tuple[Value, ...]]:
        """Resolve constants or defaults, and check the shape of each value."""
        out: dict[Direction, tuple[Value, ...]] = {}
        for direction, values in given.items():
            version = self.right if direction == "to_canonical" else self.left
            side = self.mapping.canonical if direction == "to_canonical" else self.mapping.dialect
            code = "M007" if direction == "to_canonical" else "M006"
            made: list[Value] = []
            for value in values:
                ends = self.ends(code, (value.path,), version, side.resource)
                if ends and self.shape(version, ends[0].element, value.value):
                    plain = typed(value.value.plain(), version, ends[0].element.type)
                    made.append(Value(ends[0], plain, value.path.place.line))
            out[direction] = tuple(made)
        return out

    def shape(self, version: Version, element: Element, node: Any, item: bool = False) -> bool:
        """Tell whether a value has the shape of its element, noting what has not."""
        if element.is_list and not item:
            if not node.is_list:
                self.problem("M028", f"'{element.name}' repeats.", node.place, "a list: [...]")
                return False
            return _each(self.shape(version, element, inner, True) for inner in node.value)
        if element.is_primitive:
            if node.is_map or node.is_list or node.value is None:
                said = f"'{element.name}' is a {element.type}."
                self.problem("M028", said, node.place, "one value")
                return False
            if element.codes and node.value not in element.codes:
                said = f"'{node.value}' is no code that '{element.name}' allows."
                allowed = ", ".join(sorted(element.codes))
                remedy = did_you_mean(str(node.value), element.codes)
                self.problem("M038", said, node.place, allowed, remedy)
                return False
            check = CHECKS.get(element.type)
            if check is not None and not check(typed(node.value, version, element.type)):
                said = f"'{node.value}' is no {element.type}, as '{element.name}' is."
                self.problem("M028", said, node.place, EXPECTED.get(element.type))
                return False
            return True
        if not node.is_map:
            said = f"'{element.name}' is a {element.type}."
            self.problem("M028", said, node.place, "a mapping: {name: value}")
            return False
        return _each(self.inner_shape(version, element, *entry) for entry in node.items())

    def inner_shape(
        self, version: Version, element: Element, key: str, place: Place, node: Any
    ) -> bool:
        known = schema(version).type(element.type).elements
        if key not in known:
            said = f"{element.type} ({version}) has no element '{key}'."
            self.problem("M028", said, place, ", ".join(known), did_you_mean(key, known))
            return False
        return self.shape(version, known[key], node)


def _each(results: Iterable[bool]) -> bool:
    """Tell whether all are true, after looking at every one."""
    return all(list(results))
