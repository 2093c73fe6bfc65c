"""Which elements an adapter writes itself: all others of what it makes were copied as they are.

What was valid and is copied stays valid, and so does a Reference whose literal alone changed. So
of a resource that was validated before, only what is named here has to be looked at again.
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.fhir.invariants import BY_TYPE
from engine.fhir.schema import schema
from engine.transform.mapping import Direction, other
from engine.transform.plan import End, Plan, Step

_BESIDE = "extension"
"""Where steps put what has no home."""


def written(plan: Plan, direction: Direction) -> frozenset[str] | None:
    """Return the names, at the top of the resource, that one direction of a mapping writes.

    None where they cannot be looked at alone: another type or FHIR version is made, or one of
    them is bound to its neighbours, by a choice of types or by an invariant of the resource.
    """
    root = plan.root
    if plan.version(direction) != plan.version(other(direction)):
        return None
    if root.dialect_type != root.canonical_type or plan.siblings is not None:
        return None
    names = set(_constants(plan, direction))
    for step in root.steps:
        if not _copies(step, frozenset({id(root)})):
            names |= {end.names[0] for end in (*step.dialect, *step.canonical)}
            names |= {_BESIDE}
            for case in step.cases:
                names |= {end.names[0] for end in case.canonical}
    names.discard("id")
    elements = schema(plan.version(direction)).type(root.dialect_type).elements
    bound = {name for rule in BY_TYPE.get(root.dialect_type, ()) for name in rule.names}
    if any(name in bound or name not in elements or elements[name].choice for name in names):
        return None
    return frozenset(names)


def _constants(plan: Plan, direction: Direction) -> Iterator[str]:
    for values in (plan.constants, plan.defaults):
        for way in (direction, other(direction)):
            for value in values.get(way, ()):
                yield value.end.names[0]
                yield _BESIDE


def _copies(step: Step, around: frozenset[int]) -> bool:
    """Tell whether all that a step changes of its element is where references in it point."""
    if step.operation not in ("copy", "ref", "fields") or step.cases:
        return False
    rule = step.rule
    if rule.when is not None or rule.first or not _stays(step.dialect, step.canonical):
        return False
    block = step.block
    if block is None or id(block) in around:
        return True
    return all(_copies(inner, around | {id(block)}) for inner in block.steps)


def _stays(dialect: tuple[End, ...], canonical: tuple[End, ...]) -> bool:
    if not len(dialect) == len(canonical) == 1:
        return False
    here, there = dialect[0], canonical[0]
    return here.names == there.names and len(here.names) == 1 and here.element == there.element
