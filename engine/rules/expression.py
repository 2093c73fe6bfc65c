"""FHIRPath that an analyst wrote for a rule: checked, compiled once, run within a budget."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import FrameType
from typing import Any

import fhirpathpy
from fhirpathpy.engine.invocations import invocation_registry

from engine.diagnostics import Diagnostic, Place, did_you_mean
from engine.fhir.json import dumps
from engine.fhir.schema import schema
from engine.transform.expressions import check_expression

LONGEST = 1_000
"""How many characters an expression may have."""

BUDGET = 200_000
"""How many calls one evaluation may take: the same on every machine, about a quarter second."""

_TEXT = re.compile(r"'(?:[^'\\]|\\.)*'")
_CALL = re.compile(r"([A-Za-z][A-Za-z0-9]*)\s*\(")
_NAME = re.compile(r"(?<![$@%\w])([A-Za-z][A-Za-z0-9]*)\b(?!\s*\()")
_WORDS = frozenset(
    {"and", "or", "xor", "implies", "not", "contains", "in", "is", "as", "div", "mod", "true"}
    | {"false", "year", "years", "month", "months", "week", "weeks", "day", "days", "hour"}
    | {"hours", "minute", "minutes", "second", "seconds"}
)
_NESTING = 4
_LAMBDA = re.compile(r"(where|select|all|exists|iif)\s*\(")


_MOST_REMEMBERED = 50_000
_REMEMBERED: dict[tuple[str, bytes], bool] = {}
"""What expressions answered, by digest of what they were asked about; failures are asked again."""


class BudgetSpent(BaseException):
    """End an evaluation that takes too long; no `except Exception` on its way may keep it."""


@dataclass(frozen=True, slots=True)
class Expression:
    """Hold one expression that was checked; `run` gives what it finds."""

    text: str
    place: Place
    _compiled: Any = field(repr=False, compare=False)

    def run(self, tree: Mapping[str, Any]) -> list[Any]:
        """Return what the expression finds in a resource.

        Raises whatever the library raises, and BudgetSpent; callers fail safe.
        """
        return _bounded(self._compiled, tree)

    def holds(self, tree: Mapping[str, Any]) -> bool:
        """Tell whether the expression is true of a resource; nothing found is not true."""
        return self.run(tree) == [True]

    def held(self, tree: Mapping[str, Any]) -> bool:
        """Tell the same as `holds`, remembered by a digest: reviews ask about the same orders."""
        key = (self.text, hashlib.sha256(dumps(tree)).digest())
        known = _REMEMBERED.get(key)
        if known is None:
            if len(_REMEMBERED) >= _MOST_REMEMBERED:
                _REMEMBERED.clear()
            known = _REMEMBERED[key] = self.holds(tree)
        return known


def expression(
    text: Any, place: Place, types: Collection[str]
) -> tuple[Expression | None, list[Diagnostic]]:
    """Read one expression about resources of these types; every problem with its nearest name."""
    if not isinstance(text, str) or not text.strip():
        said = "An expression is missing here."
        return None, [Diagnostic("A003", said, place=place, expected="a FHIRPath expression")]
    if len(text) > LONGEST:
        said = f"The expression has more than {LONGEST} characters."
        return None, [Diagnostic("A003", said, place=place, remedy="write two rules instead.")]
    bare = _TEXT.sub("''", text)
    problems = [*_functions(bare, place), *_names(bare, place, types)]
    if _deepest(bare) > _NESTING:
        said = "The expression nests more loops than are run here."
        problems.append(Diagnostic("A003", said, place=place, expected=f"at most {_NESTING}"))
    if not problems and (why := check_expression(text)):
        problems.append(Diagnostic("A003", why, place=place))
    if problems:
        return None, problems
    return Expression(text, place, fhirpathpy.compile(text)), []


def _functions(bare: str, place: Place) -> list[Diagnostic]:
    known = set(invocation_registry) | {"is", "as", "ofType"}
    return [
        Diagnostic(
            "A004",
            f"There is no function '{name}'.",
            place=place,
            remedy=did_you_mean(name, known),
        )
        for name in dict.fromkeys(_CALL.findall(bare))
        if name not in known and name not in _WORDS
    ]


def _names(bare: str, place: Place, types: Collection[str]) -> list[Diagnostic]:
    """Note names that no element below these types has."""
    known = frozenset().union(*(_below(name) for name in types)) if types else frozenset()
    allowed = known | _WORDS | schema("R4").types
    return [
        Diagnostic(
            "A005",
            f"There is no element '{name}' in {' or '.join(sorted(types))}.",
            place=place,
            remedy=did_you_mean(name, known),
        )
        for name in dict.fromkeys(_NAME.findall(bare))
        if known and name not in allowed
    ]


@cache
def _below(type_name: str) -> frozenset[str]:
    """Return the name of every element of a type and of the types inside it, as JSON has them."""
    known = schema("R4")
    names, seen, open_types = {"resourceType"}, {type_name}, [type_name]
    while open_types:
        for name, element in known.type(open_types.pop()).elements.items():
            names.add(name)
            further = known.has(element.type) and element.type not in known.resources
            if further and element.type not in seen and element.type != "Extension":
                seen.add(element.type)
                open_types.append(element.type)
    return frozenset(names | {"url", "extension"})


def _deepest(bare: str) -> int:
    """Return how deep loops are nested in each other."""
    deepest = 0
    stack: list[bool] = []
    for found in re.finditer(r"[A-Za-z]*\s*\(|\)", bare):
        if found[0] == ")":
            if stack:
                stack.pop()
            continue
        stack.append(bool(_LAMBDA.fullmatch(found[0])))
        deepest = max(deepest, sum(stack))
    return deepest


def _bounded(compiled: Any, tree: Mapping[str, Any]) -> list[Any]:
    """Run within the budget: calls are counted, since a clock would not answer alike each time."""
    left = BUDGET

    def count(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise BudgetSpent

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        found = compiled(dict(tree))
    finally:
        sys.setprofile(before)
    return [value for value in found if value is not None]
