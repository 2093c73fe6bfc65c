"""Which line of a mapping made each element of a result."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from engine.diagnostics import Place
from engine.transform.carry import CARRIED
from engine.transform.mapping import Direction
from engine.transform.plan import Block, Plan, Step


@dataclass(frozen=True, slots=True)
class Made:
    """Say that the element at `path` was made by the rule at `place`, and how."""

    path: str
    place: Place
    how: str


def trace(plan: Plan, direction: Direction, made: dict[str, Any]) -> list[Made]:
    """Return, for each element of a result, the rule that made it."""
    policies = Place(plan.mapping.place.file, 1, 1)
    return list(_object(plan.root, direction, made, plan.root.type(_back(direction)), policies))


def _back(direction: Direction) -> Direction:
    return "to_dialect" if direction == "to_canonical" else "to_canonical"


def _object(
    block: Block, direction: Direction, tree: dict[str, Any], path: str, policies: Place
) -> Iterator[Made]:
    for name, value in tree.items():
        here = f"{path}.{name}"
        steps = list(_writers(block, direction, name.removeprefix("_")))
        if not steps:
            place, how = policies, "policy"
            if name == "extension" and isinstance(value, list):
                ours = any(isinstance(e, dict) and e.get("url") == CARRIED for e in value)
                how = "policy, and values carried from the other side" if ours else how
            yield Made(here, place, how)
        for step in steps:
            yield Made(here, step.rule.place, step.operation)
            inner = step.block
            if inner is None:
                continue
            items = value if isinstance(value, list) else [value]
            for index, item in enumerate(items):
                if isinstance(item, dict):
                    at = f"{here}[{index}]" if isinstance(value, list) else here
                    yield from _object(inner, direction, item, at, step.rule.place)


def _writers(block: Block, direction: Direction, name: str) -> Iterator[Step]:
    for step in block.steps:
        if any(end.names[0] == name for end in step.target(direction)):
            yield step
