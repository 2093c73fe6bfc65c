"""The turns of time: between two of them, whatever depends on time stays as it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from engine.fhir.dates import BEGINNING, END, Interval, interval


def stretch(at: Interval, turns: Iterable[int]) -> Interval:
    """Return the time around a moment in which nothing turns; none where it turns within it."""
    first, last = at
    since, until = BEGINNING, END
    for turn in turns:
        if turn <= first:
            since = max(since, turn)
        elif turn >= last:
            until = min(until, turn)
        else:
            return END, BEGINNING
    return since, until


def turns_in(tree: Any, zone: str) -> Iterator[int]:
    """Yield where each date and each instant begins and ends that stands anywhere in a tree."""
    if isinstance(tree, str):
        yield from (interval(tree, zone) if tree[:4].isdecimal() else None) or ()
    elif isinstance(tree, Mapping):
        for value in tree.values():
            yield from turns_in(value, zone)
    elif isinstance(tree, list):
        for value in tree:
            yield from turns_in(value, zone)
