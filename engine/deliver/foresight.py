"""Judge before the turn what the turn will probably claim, so that the turn itself is short.

What was foreseen counts only where the turn would read the same again (`engine.ahead`); all else is
judged in the turn, as if nothing had been foreseen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from engine.ahead import Ahead
from engine.deliver.ports import Delivery, Judge, Permit, Withhold


class Foresight:
    """Hold what the judge said of each delivery that stands next, ahead of one turn.

    `rooms` is how many more each destination may take now, `batch` how many in all; `leaving` are
    the deliveries that the turn will find arrived, so that those behind them come first.
    """

    def __init__(
        self,
        judge: Judge,
        rooms: Mapping[str, int],
        batch: int,
        leaving: Iterable[Delivery] = (),
    ) -> None:
        self._judge = judge
        self._rooms = rooms
        self._batch = batch
        self._leaving = [(delivery.destination, delivery.member) for delivery in leaving]
        self._seen: dict[tuple[str, int], Ahead[Permit | Withhold]] = {}

    def look(self, snapshot: Any) -> None:
        """Judge what stands next on a snapshot."""
        self._seen.clear()
        deliveries = snapshot.deliveries
        for delivery in deliveries.next_in_line(self._batch, self._rooms, self._leaving):
            ahead = self._seen[delivery.id, delivery.fence] = Ahead(self._judging(delivery))
            ahead.look(snapshot)

    def _judging(self, delivery: Delivery) -> Any:
        return lambda transaction: self._judge(transaction, delivery)

    def verdict(self, transaction: Any, delivery: Delivery) -> Permit | Withhold:
        """Return what the judge says of a claimed delivery, foreseen or asked now."""
        ahead = self._seen.get((delivery.id, delivery.fence))
        found = ahead.still(transaction) if ahead is not None else None
        return self._judge(transaction, delivery) if found is None else found
