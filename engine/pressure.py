"""How full the outbox is: who sends faster than a destination takes is told to come back later."""

from __future__ import annotations

from collections.abc import Iterable

from engine.clock import Clock
from engine.errors import OutboxFull
from engine.store import Store

LOOK_SECONDS = 0.5
"""How long one look at the outbox counts."""

RETRY_SECONDS = 2.0


class Pressure:
    """Know which destinations have more waiting than `most`."""

    def __init__(self, store: Store, clock: Clock, most: int, destinations: Iterable[str]) -> None:
        self._store = store
        self._clock = clock
        self._most = most
        self._destinations = tuple(destinations)
        self._full: frozenset[str] = frozenset()
        self._looked: float | None = None

    def yields(self, destinations: Iterable[str]) -> None:
        """Raise OutboxFull where one of these destinations has too much waiting."""
        now = self._clock.monotonic()
        if self._looked is None or now - self._looked >= LOOK_SECONDS:
            self._looked = now
            self._full = self._store.read(
                lambda tx: tx.deliveries.full(self._destinations, self._most)
            )
        for name in destinations:
            if name in self._full:
                raise OutboxFull(name, RETRY_SECONDS)
