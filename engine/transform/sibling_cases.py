"""Cases about siblings: several resources that become one, one that becomes several, and back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.diagnostics import Diagnostic
from engine.message import Resource
from engine.transform.adapter import Adapter
from engine.transform.comparing import difference
from engine.transform.family import to_siblings, to_wholes
from engine.transform.mapping import Direction
from engine.transform.references import Crosswalk
from engine.transform.result import Result

TOGETHER = ("inputs", "expect_each")
"""The keys of a case that make it one about siblings."""


@dataclass(slots=True)
class Ran:
    """Hold what a case about siblings made, in order, and how a way back differs."""

    made: list[Resource | None]
    diagnostics: list[Diagnostic] = field(default_factory=list)
    diff: list[str] = field(default_factory=list)


def run_siblings(
    adapter: Adapter, way: str, first: Direction, trees: Sequence[Resource], crosswalk: Crosswalk
) -> Ran:
    """Run resources one way, or there and back; a way back must give them again."""
    there = _taken(adapter, first, trees, crosswalk)
    if way != "round_trip":
        return there
    last: Direction = "to_dialect" if first == "to_canonical" else "to_canonical"
    middle = [made for made in there.made if made is not None]
    back = _taken(adapter, last, middle, crosswalk)
    there.diagnostics += back.diagnostics
    there.diff += _unlike(trees, back.made)
    return there


def _taken(
    adapter: Adapter, direction: Direction, trees: Sequence[Resource], crosswalk: Crosswalk
) -> Ran:
    results: list[Result]
    if direction == "to_canonical":
        results = [family.result for family in to_wholes(adapter, trees, crosswalk)]
    else:
        results = [one for tree in trees for one in to_siblings(adapter, tree, crosswalk)]
    said = [problem for result in results for problem in result.diagnostics]
    return Ran([result.resource for result in results], said)


def _unlike(wanted: Sequence[Resource], came: Sequence[Resource | None]) -> Iterator[str]:
    """Yield how resources differ; siblings have no order, so they go by their ids."""
    by_id = {str(one.get("id")): one for one in came if one is not None}
    for tree in wanted:
        found = by_id.pop(str(tree.get("id")), None)
        if found is None:
            yield f"- {tree.get('id')}: the way back gives the resource again"
            continue
        for line in difference(tree, found, exact=True):
            yield f"{line[:2]}{tree.get('id')}: {line[2:]}"
    for id in by_id:
        yield f"+ {id}: a resource that was not there"


def compared(wanted: Sequence[Any], came: Sequence[Resource | None]) -> Iterator[str]:
    """Yield how several results differ from what `expect_each:` says, in its order."""
    if len(wanted) != len(came):
        yield f"- expect_each: {len(wanted)} resources"
        yield f"+ expect_each: {len(came)} resources"
        return
    for index, (one, other) in enumerate(zip(wanted, came, strict=True)):
        if other is None:
            yield f"- [{index}]: a resource"
            continue
        yield from difference(one, other, exact=False, path=f"[{index}]")
