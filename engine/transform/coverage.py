"""Which rules and table rows a resource uses on its way through a mapping."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from engine.diagnostics import Diagnostic, Severity
from engine.transform.mapping import Direction
from engine.transform.plan import Block, Plan, Step
from engine.transform.tables import Row


@dataclass(slots=True)
class Coverage:
    """Count what was used of one plan; steps and rows by identity."""

    plan: Plan
    steps: set[int] = field(default_factory=set)
    rows: set[int] = field(default_factory=set)

    def add(self, direction: Direction, tree: dict[str, Any]) -> None:
        """Note everything that a resource read in this direction uses."""
        for step, value in _used(self.plan.root, direction, tree):
            self.steps.add(id(step))
            if step.table is not None:
                self.rows.update(id(row) for row in _rows(step, direction, value))

    def all_steps(self) -> list[Step]:
        """Return every step of the plan once, in the order of the file."""
        return list(_steps(self.plan.root, set()))

    def all_rows(self) -> list[tuple[str, Row]]:
        """Return every row of every table that the plan uses."""
        return [(name, row) for name, t in sorted(self.plan.tables.items()) for row in t.rows]

    def unused(self) -> Iterator[Diagnostic]:
        """Yield what no resource used so far."""
        for step in self.all_steps():
            if id(step) not in self.steps:
                said = f"No case uses the rule '{step.rule.path.text or 'of a split'}'."
                yield Diagnostic("M037", said, Severity.INFORMATION, step.rule.place)
        for name, row in self.all_rows():
            if id(row) not in self.rows:
                said = f"No case uses this row of the table '{name}'."
                yield Diagnostic("M037", said, Severity.INFORMATION, row.place)

    def summary(self) -> str:
        """Return both figures in one line."""
        steps, rows = self.all_steps(), self.all_rows()
        used = sum(1 for step in steps if id(step) in self.steps)
        seen = sum(1 for _, row in rows if id(row) in self.rows)
        said = f"rules {used}/{len(steps)}"
        return f"{said}, table rows {seen}/{len(rows)}" if rows else said


def _steps(block: Block, seen: set[int]) -> Iterator[Step]:
    if id(block) in seen:
        return
    seen.add(id(block))
    for step in block.steps:
        yield step
        if step.block is not None:
            yield from _steps(step.block, seen)
        for case in step.cases:
            yield case
            if case.block is not None:
                yield from _steps(case.block, seen)


def _used(block: Block, direction: Direction, tree: Any) -> Iterator[tuple[Step, Any]]:
    for step in block.steps:
        for end in step.source(direction):
            for value in _at(tree, end.names):
                yield step, value
                if step.block is not None and isinstance(value, dict):
                    yield from _used(step.block, direction, value)
        for case in step.cases:
            yield from _cases(case, direction, tree)


def _cases(case: Step, direction: Direction, tree: Any) -> Iterator[tuple[Step, Any]]:
    for end in case.source(direction):
        for value in _at(tree, end.names):
            if direction == "to_canonical" and isinstance(value, dict):
                if case.rule.take is not None and set(value) != {case.rule.take.text}:
                    continue
                if case.rule.when is not None and not case.rule.when.holds(value):
                    continue
            yield case, value
            if case.block is not None and isinstance(value, dict):
                yield from _used(case.block, direction, value)


def _at(tree: Any, names: tuple[str, ...]) -> Iterator[Any]:
    """Yield each value at a path, each item of lists."""
    if isinstance(tree, list):
        for item in tree:
            yield from _at(item, names)
    elif not names:
        if tree is not None:
            yield tree
    elif isinstance(tree, dict):
        yield from _at(tree.get(names[0]), names[1:])
        if len(names) == 1:
            yield from _at(tree.get(f"_{names[0]}"), ())


def _rows(step: Step, direction: Direction, value: Any) -> Iterator[Row]:
    assert step.table is not None
    codings = value.get("coding", [value]) if isinstance(value, dict) else []
    for coding in codings:
        row = step.table.ways[direction].get((coding.get("system"), str(coding.get("code"))))
        if row is not None:
            yield row
    if isinstance(value, str):
        yield from (r for k, r in step.table.ways[direction].items() if k[1] == value)
