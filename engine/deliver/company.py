"""Whose results share a turn: those that lately came back together, for a moment.

A turn costs about the same whatever it records. What left together comes back together, one a
little after another; without patience the first result has a turn to himself.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Patience:
    """Hold how many seconds results wait at most: for the next one, and in all."""

    next: float = 0.003
    whole: float = 0.010


PATIENCE = Patience()


@dataclass(slots=True)
class Company:
    """Say how long the results that are there wait for others.

    As many are expected as came in the fuller one of the last two turns with results, and no more
    than are under way, so whoever is alone twice waits for nobody.
    """

    patience: Patience = field(default_factory=Patience)
    _last: int = 0
    _before: int = 0
    _came: int = 0
    _until: float | None = None

    def wait(self, came: int, under_way: int, now: float) -> float:
        """Return the seconds to wait for more than the results that `came`; 0: for nobody.

        `now` is in monotonic seconds. Where none came since it was last asked, none is awaited.
        """
        expected = min(max(self._last, self._before), came + under_way)
        alone = came == self._came
        self._came = came
        if alone or came >= expected:
            return 0.0
        if self._until is None:
            self._until = now + self.patience.whole
        return max(0.0, min(self.patience.next, self._until - now))

    def left(self, came: int) -> None:
        """Note that a turn records so many."""
        self._until, self._came = None, 0
        if came:
            self._before, self._last = self._last, came
