"""Who waits for the writer, and for whom it waits before it commits.

A commit costs about the same whatever it holds. Senders who are answered together come back
together, a little after one another; without patience the first of them has a commit to himself
and the others, as few, the next one. So as many are expected as lately came together.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from engine.errors import StoreBusy, StoreError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Patience:
    """Hold how many seconds a commit waits at most: for the next one, and in all."""

    next: float = 0.003
    whole: float = 0.010


PATIENCE = Patience()


class Company(Generic[T]):
    """Hold at most `capacity` that wait; `most` leave together, `now` tells monotonic seconds.

    As many are expected as left in the fuller one of the last two companies, so whoever is alone
    twice waits for nobody. Whoever takes them is woken for the first and for the last of these.
    """

    def __init__(
        self, capacity: int, most: int, patience: Patience, now: Callable[[], float]
    ) -> None:
        self._capacity = capacity
        self._most = most
        self._patience = patience
        self._now = now
        self._waiting: deque[T] = deque()
        self._changed = threading.Condition(threading.Lock())
        self._wanted = 1
        self._closed = False
        self._last = self._before = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def join(self, one: T) -> None:
        """Let one wait; StoreBusy where there is no room, StoreError where it is closed."""
        with self._changed:
            if self._closed:
                raise StoreError("the store is closed")
            if len(self._waiting) >= self._capacity:
                raise StoreBusy(retry_after=1.0)
            self._waiting.append(one)
            if len(self._waiting) >= self._wanted:
                self._changed.notify()

    def close(self) -> None:
        """Let nobody join any more, and wait for nobody."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def leave(self) -> list[T]:
        """Return who leaves together once they are there; nobody where it is closed and empty."""
        with self._changed:
            self._wait(1, None)
            self._wait_for_more(min(max(self._last, self._before), self._most))
            leaving = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._most))]
        self._before, self._last = self._last, len(leaving)
        return leaving

    def _wait_for_more(self, expected: int) -> None:
        until = self._now() + self._patience.whole
        came = 0
        while came < len(self._waiting) < expected and (left := until - self._now()) > 0:
            came = len(self._waiting)
            self._wait(expected, min(self._patience.next, left))

    def _wait(self, wanted: int, seconds: float | None) -> None:
        """Wait until so many are there, or it is closed; for some `seconds` at most."""
        self._wanted = wanted
        self._changed.wait_for(lambda: self._closed or len(self._waiting) >= wanted, seconds)
