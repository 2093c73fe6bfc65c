"""Judge before the turn what the turn will probably claim, so that the turn itself is short.

What was foreseen counts only where the turn would read the same again (`engine.ahead`); all else is
judged in the turn, as if nothing had been foreseen. What comes due between the look ahead and the
turn is left to the next turn, which follows at once: nobody is kept waiting by a judgement that
could be had before. Where the database lets many write at once, nobody is kept waiting anyway, so
the store does not look ahead there, and each turn judges all that it claims.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from engine.ahead import Ahead
from engine.deliver.ports import Brief, Delivery, Judge, Permit, Withhold, nothing_is_brief


class Foresight:
    """Hold what the judge said of each delivery that stands next, ahead of one turn.

    `rooms` is how many more each destination may take now, `batch` how many in all; `leaving` are
    the deliveries that the turn will find arrived, so that those behind them come first. What is
    `brief` is judged in the turn. `left` counts what the turn passed over.
    """

    def __init__(
        self,
        judge: Judge,
        rooms: Mapping[str, int],
        batch: int,
        leaving: Iterable[Delivery] = (),
        brief: Brief = nothing_is_brief,
    ) -> None:
        self._judge = judge
        self._rooms = rooms
        self._batch = batch
        self._leaving = [(delivery.destination, delivery.member) for delivery in leaving]
        self._brief = brief
        self._looked = False
        self._seen: dict[tuple[str, int], Ahead[Permit | Withhold]] = {}
        self.left = 0
        self.asked = 0
        """How many were, or would have been, worth judging ahead."""

    def look(self, snapshot: Any) -> None:
        """Judge what stands next on a snapshot."""
        self._seen.clear()
        found = snapshot.deliveries.next_in_line(self._batch, self._rooms, self._leaving)
        self._looked = True
        for delivery in found:
            if not self._brief(snapshot, delivery):
                ahead = self._seen[delivery.id, delivery.fence] = Ahead(self._judging(delivery))
                ahead.look(snapshot)

    def reads(self) -> Iterable[Any]:
        """Yield what was read for each of them, which the turn will ask again."""
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
