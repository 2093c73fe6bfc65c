"""FHIRPath that an analyst wrote for a rule: checked, compiled once, run within a budget."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import fhirpathpy

from engine.diagnostics import Diagnostic, Place, did_you_mean
from engine.fhir.json import dumps
from engine.transform.expressions import check_expression, unknown_functions, unknown_names

LONGEST = 1_000
"""How many characters an expression may have."""

BUDGET = 200_000
"""How many calls one evaluation may take: the same on every machine, about a quarter second."""

_TEXT = re.compile(r"'(?:[^'\\]|\\.)*'")
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
    problems = [*_functions(text, place), *_names(text, place, types)]
    if _deepest(bare) > _NESTING:
        said = "The expression nests more loops than are run here."
        problems.append(Diagnostic("A003", said, place=place, expected=f"at most {_NESTING}"))
    if not problems and (why := check_expression(text)):
        problems.append(Diagnostic("A003", why, place=place))
    if problems:
        return None, problems
    return Expression(text, place, fhirpathpy.compile(text)), []


def _functions(text: str, place: Place) -> list[Diagnostic]:
    return [
        Diagnostic(
            "A004",
            f"There is no function '{name}'.",
            place=place,
            remedy=did_you_mean(name, known),
        )
        for name, known in unknown_functions(text)
    ]


def _names(text: str, place: Place, types: Collection[str]) -> list[Diagnostic]:
    """Note names that no element below these types has."""
    return [
        Diagnostic(
            "A005",
            f"There is no element '{name}' in {' or '.join(sorted(types))}.",
            place=place,
            remedy=did_you_mean(name, known),
        )
        for name, known in unknown_names(text, "R4", types)
    ]


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
