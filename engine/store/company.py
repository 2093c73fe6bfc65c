"""Whom the writer waits for before it commits: as many as lately came together, for a moment.

A commit costs about the same whatever it holds. Senders who are answered together come back
together, a little after one another; without patience the first of them has a commit to himself
and the others, as few, the next one.
"""

from __future__ import annotations

import queue
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Patience:
    """Hold how many seconds a commit waits at most: for the next one, and in all."""

    next: float = 0.003
    whole: float = 0.010


PATIENCE = Patience()


class Company:
    """Take what shares a commit from a queue; `now` tells monotonic seconds.

    As many are expected as came in the fuller one of the last two commits, so whoever is alone
    twice waits for nobody.
    """

    def __init__(self, patience: Patience, now: Callable[[], float]) -> None:
        self._patience = patience
        self._now = now
        self._last = self._before = 0
        self._until: float | None = None

    def next(self, waiting: queue.Queue[T], came: int) -> T:
        """Return who comes after those who `came`; raises queue.Empty where nobody is awaited."""
        try:
            return waiting.get_nowait()
        except queue.Empty:
            if came >= max(self._last, self._before):
                raise
        now = self._now()
        if self._until is None:
            self._until = now + self._patience.whole
        if now >= self._until:
            raise queue.Empty
        return waiting.get(timeout=min(self._patience.next, self._until - now))

    def left(self, came: int) -> None:
        """Note that a commit leaves with so many."""
        self._before, self._last = self._last, came
        self._until = None
