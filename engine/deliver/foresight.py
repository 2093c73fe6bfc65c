"""Judge before the turn what the turn will probably claim, so that the turn itself is short.

What was foreseen counts only where the turn would read the same again (`engine.ahead`); all else is
judged in the turn, as if nothing had been foreseen. What comes due between the look ahead and the
turn is left to the next turn, which follows at once: nobody is kept waiting by a judgement that
could be had before. Where the database lets many write at once, nobody is kept waiting anyway, so
the store does not look ahead there, and each turn judges all that it claims.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from engine.ahead import Ahead, nothing_beforehand
from engine.deliver.ports import (
    Brief,
    Delivery,
    Judge,
    Permit,
    Ready,
    Withhold,
    nothing_is_brief,
    nothing_to_read,
)


class Foresight:
    """Hold what the judge said of each delivery that stands next, ahead of one turn.

    `rooms` is how many more each destination may take now, `batch` how many in all; `leaving` are
    the deliveries that the turn will find arrived, so that those behind them come first. What is
    `brief` is judged in the turn; what is asked of all of them is made `ready` together. `left`
    counts what the turn passed over.
    """

    def __init__(
        self,
        judge: Judge,
        rooms: Mapping[str, int],
        batch: int,
        leaving: Iterable[Delivery] = (),
        brief: Brief = nothing_is_brief,
        ready: Ready = nothing_to_read,
    ) -> None:
        self._judge = judge
        self._rooms = rooms
        self._batch = batch
        self._leaving = [(delivery.destination, delivery.member) for delivery in leaving]
        self._brief = brief
        self._ready = ready
        self._looked = False
        self._together: list[Any] = []
        self._seen: dict[tuple[str, int], Ahead[Permit | Withhold]] = {}
        self.left = 0
        self.asked = 0
        """How many were, or would have been, worth judging ahead."""

    def asking(self, snapshot: Any) -> Iterator[None]:
        """Say nothing: what it asks rests on what stands next."""
        return nothing_beforehand(snapshot)

    def look(self, snapshot: Any) -> None:
        """Judge what stands next on a snapshot."""
        self._seen.clear()
        self._together.clear()
        found = snapshot.deliveries.next_in_line(self._batch, self._rooms, self._leaving)
        self._looked = True
        with suppress(Exception), snapshot.reading() as reads:  # else each asks for itself
            self._ready(snapshot, found)
            self._together.append(reads)
        for delivery in found:
            if not self._brief(snapshot, delivery):
                ahead = self._seen[delivery.id, delivery.fence] = Ahead(self._judging(delivery))
                ahead.look(snapshot)

    def reads(self) -> Iterable[Any]:
        """Yield what was read for all and for each of them, which the turn will ask again."""
        yield from self._together
        for ahead in self._seen.values():
            yield from ahead.reads()

    def _judging(self, delivery: Delivery) -> Any:
        return lambda transaction: self._judge(transaction, delivery)

    def fitting(self, transaction: Any) -> Callable[[Delivery], bool]:
        """Return what tells whether the turn may claim a delivery: not what it has to leave."""
        self.left = self.asked = 0

        def fits(delivery: Delivery) -> bool:
            if (delivery.id, delivery.fence) in self._seen:
                self.asked += 1
                return True
            if self._brief(transaction, delivery):
                return True
            self.asked += 1
            self.left += self._looked
            return not self._looked

        return fits

    def verdict(self, transaction: Any, delivery: Delivery) -> Permit | Withhold:
        """Return what the judge says of a claimed delivery, foreseen or asked now."""
        ahead = self._seen.get((delivery.id, delivery.fence))
        found = ahead.still(transaction) if ahead is not None else None
        return self._judge(transaction, delivery) if found is None else found
