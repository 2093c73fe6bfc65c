"""What shares a turn: results that lately came back together, and what is claimed next, if soon.

A turn costs about the same whatever it records. What left together comes back together, one a
little after another; without patience the first result has a turn to himself. And where something
new comes every few milliseconds, results are recorded with the claim of it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Patience:
    """Hold how many seconds results wait at most.

    For the `next` result, for all results that are expected (`whole`), and for something new to
    share a turn with (`claim`), all counted together.
    """

    next: float = 0.003
    whole: float = 0.010
    claim: float = 0.050


PATIENCE = Patience()


class Company:
    """Say how long the results that are there wait for others.

    As many are expected as came in the fuller one of the last two turns with results, and no more
    than are under way, so whoever is alone twice waits for nobody. Something new is expected as
    long after the last claim as that was after the one before, or that after its own. Instants are
    monotonic seconds.
    """

    def __init__(self, patience: Patience = PATIENCE) -> None:
        self._patience = patience
        self._last = self._before = 0
        self._claims: deque[float] = deque(maxlen=3)
        self._came = 0
        self._first = self._latest = 0.0

    def results(self, came: int, under_way: int, now: float) -> float:
        """Return the seconds to wait for more than the results that `came`; 0: for none."""
        if came != self._came:
            self._first = self._first if self._came else now
            self._came, self._latest = came, now
        expected = min(max(self._last, self._before), came + under_way)
        if not came or came >= expected:
            return 0.0
        until = min(self._latest + self._patience.next, self._first + self._patience.whole)
        return max(0.0, until - now)

    def claim(self, now: float) -> float:
        """Return the seconds for which results wait for something new; 0: it would be too long."""
        if len(self._claims) < 3:
            return 0.0
        before, last, latest = self._claims
        expected = latest + 1.25 * max(last - before, latest - last)
        soon = expected <= self._first + self._patience.claim
        return max(0.0, expected - now) if self._came and soon else 0.0

    def left(self, came: int) -> None:
        """Note that a turn records so many."""
        self._came = 0
        if came:
            self._before, self._last = self._last, came

    def claimed(self, now: float) -> None:
        """Note that a turn that began at the instant `now` found something to claim."""
        self._claims.append(now)
