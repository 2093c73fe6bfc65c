"""Check a plan against the profiles that its mapping names: what they require must be produced."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from engine.diagnostics import Diagnostic
from engine.transform.mapping import Direction, Name
from engine.transform.plan import Block, End, Plan, Step

Names = tuple[str, ...]


class Constrained(Protocol):
    """What a profile says of one element."""

    @property
    def min(self) -> int:
        """Return how often it must be there."""
        ...


class KnownProfile(Protocol):
    """A loaded profile."""

    def elements(self) -> Mapping[str, Constrained]:
        """Return what it says of each path."""
        ...


def unproduced(
    plan: Plan, direction: Direction, named: Name, profile: KnownProfile
) -> Iterator[Diagnostic]:
    """Yield each element that the profile of the target requires and no field can produce.

    Inner elements are looked at only where the element around them is made piece by piece.
    """
    fixed = (*plan.constants.get(direction, ()), *plan.defaults.get(direction, ()))
    written = {value.end.names for value in fixed}
    for path, node in profile.elements().items():
        names = tuple(path.split(".")[1:])
        if node.min < 1 or not names or _is_made(plan.root, names, direction, written):
            continue
        shown = ".".join(names)
        yield Diagnostic(
            "M013",
            f"The profile requires '{shown}', and {direction} nothing produces it.",
            place=named.place,
            expected="write a field that produces it, or a default",
            remedy=f"write `{shown}` under `defaults: {{{direction}: ...}}`, or map it.",
        )


def _is_made(block: Block, names: Names, direction: Direction, written: set[Names]) -> bool:
    if any(_meet(one, names) for one in written):
        return True
    producing = [
        (step, end)
        for step in block.steps
        if step.source(direction) or step.operation in ("expression", "cross_version")
        for end in step.target(direction)
        if _meet(_chosen(end), names) or _meet(end.names, names)
    ]
    if not producing:
        return len(names) > 1 and not _reaches(block, names[:1], direction)
    return any(_inside(step, end, names, direction) for step, end in producing)


def _inside(step: Step, end: End, names: Names, direction: Direction) -> bool:
    """Tell whether what a step makes holds the rest of a path, so far as it is made in pieces."""
    rest = names[len(end.names) :]
    if step.block is None or not rest:
        return True
    return _is_made(step.block, rest, direction, set())


def _reaches(block: Block, names: Names, direction: Direction) -> bool:
    """Tell whether anything makes the element around; what is not there requires nothing inside."""
    return any(
        _meet(end.names, names)
        for step in block.steps
        if step.source(direction)
        for end in step.target(direction)
    )


def _chosen(end: End) -> Names:
    """Return the names of an end with a variant by the name of its choice (`source[x]`)."""
    return (*end.names[:-1], end.element.choice or end.name)


def _meet(one: Names, other: Names) -> bool:
    length = min(len(one), len(other))
    return one[:length] == other[:length]
