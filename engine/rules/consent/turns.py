"""The turns of time: between two of them, whatever depends on time stays as it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from engine.fhir.dates import BEGINNING, END, Interval, dates_in, interval


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
    for text in dates_in(tree):
        yield from interval(text, zone) or ()
