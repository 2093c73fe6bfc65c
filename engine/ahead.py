"""What a write can work out before its turn: from a snapshot, and only kept if that still holds.

A SQLite record has one writer at a time, so what is worked out during the turn keeps every other
process waiting. What is costly and pure is worked out before, from what was read then; during the
turn the same is read again, which is cheap, and where it reads the same the answer is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from engine.clock import seconds_between

if TYPE_CHECKING:
    from engine.store.answers import Reads

P = TypeVar("P")

FRESH = 1.0
"""Seconds for which it counts: what holds at an instant, such as a Consent, may end."""


def nothing_beforehand(_snapshot: Any) -> Iterator[None]:
    """Say nothing beforehand."""
    return iter(())


class Looking(Protocol):
    """Look at a snapshot before the turn of a write comes; what fails there is left to the turn."""

    def asking(self, snapshot: Any) -> Iterator[None]:
        """Say in rounds, before anybody looks, what it will ask of the snapshot.

        What all that look expect in one round is asked together before the next.
        """
        ...

    def look(self, snapshot: Any) -> None: ...

    def reads(self) -> Iterable[Reads]:
        """Return what it read then: in the turn the same is asked for all that look, together."""


class Ahead(Generic[P]):
    """Hold what `work` found ahead of the turn, in a store's Transaction.

    Work that writes is worked out in its turn only. `asking` says what the work will ask.
    """

    def __init__(
        self,
        work: Callable[[Any], P],
        asking: Callable[[Any], Iterator[None]] = nothing_beforehand,
    ) -> None:
        self._work = work
        self._asking = asking
        self._found: P | None = None
        self._reads: Reads | None = None
        self._stamp: int | None = None
        self._at = ""

    def asking(self, snapshot: Any) -> Iterator[None]:
        """Say in rounds what the work will ask of a snapshot."""
        return self._asking(snapshot)

    def look(self, snapshot: Any) -> None:
        """Work it out on a snapshot; where that fails it is worked out in its turn."""
        self._reads = None
        try:
            with snapshot.reading() as reads:
                self._found = self._work(snapshot)
        except Exception:
            return
        self._reads, self._stamp, self._at = reads, snapshot.recall.stamp, snapshot.now

    def reads(self) -> Iterable[Reads]:
        """Return what it read, where it could look ahead."""
        return () if self._reads is None else (self._reads,)

    def still(self, transaction: Any) -> P | None:
        """Return what was found if it would be found again now; None where nobody knows."""
        recall = transaction.recall
        if self._reads is None or recall.changed or recall.stamp != self._stamp:
            return None
        if not 0 <= seconds_between(self._at, transaction.now) <= FRESH:
            return None
        return self._found if self._reads.same(transaction) else None


def ask_together(snapshot: Any, looking: Iterable[Looking]) -> None:
    """Ask of a snapshot, once for all that are about to look at it, what they say they will ask.

    It only spares statements: who fails to say asks for himself.
    """
    rounds = [one.asking(snapshot) for one in looking]
    while rounds:
        with snapshot.reading() as reads:
            rounds = [one for one in rounds if _goes_on(one)]
        snapshot.answers.foresee([reads])


def _goes_on(rounds: Iterator[None]) -> bool:
    try:
        next(rounds)
    except Exception:
        return False
    return True
