"""Spare a destination that is down: a circuit breaker as a value, one for each destination."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True, slots=True)
class Breaker:
    """Count failures to reach a destination, and say how much may be sent to it.

    closed: everything may go. open: nothing may, until `until`. half-open: one trial, whose
    result closes it or opens it again for twice as long. Only failures that speak of the
    destination (no connection, time-out, 429, 502 to 504, 401) are counted, never those of one
    resource. `now` and `until` are monotonic seconds.
    """

    threshold: int = 5
    first: float = 1.0
    cap: float = 60.0
    failures: int = 0
    until: float | None = None
    asked: float | None = None
    """Until when the destination itself asked to be spared."""

    def state(self, now: float) -> Literal["closed", "open", "half-open"]:
        """Return where it stands at `now`."""
        if self.until is None:
            return "closed"
        return "open" if now < self.until else "half-open"

    def room(self, now: float, limit: int, in_flight: int) -> int:
        """Return how many more may be sent now, `limit` at once at most."""
        most = {"closed": limit, "open": 0, "half-open": min(1, limit)}[self.state(now)]
        return max(0, most - in_flight)

    def succeeded(self, now: float) -> Breaker:
        """Return it closed: the destination answered, unless it asked for a pause that lasts.

        What succeeds in such a pause was on its way before.
        """
        asked = self.asked if self.asked is not None and now < self.asked else None
        if not self.failures and self.until == asked:
            return self
        return replace(self, failures=0, until=asked, asked=asked)

    def failed(self, now: float) -> Breaker:
        """Return it with one failure more, open where the threshold is reached.

        What fails while it is open was on its way before: it opens nothing any further.
        """
        if self.state(now) == "open":
            return self
        failures = self.failures + 1
        if failures < self.threshold:
            return replace(self, failures=failures)
        return replace(self, failures=failures, until=now + self._pause())

    def paused(self, until: float) -> Breaker:
        """Return it open until `until` at least, because the destination asked for it (429)."""
        asked = max(until, self.asked or until)
        return replace(self, until=max(asked, self.until or asked), asked=asked)

    def _pause(self) -> float:
        doublings = min(max(0, self.failures + 1 - self.threshold), 32)
        return min(self.cap, self.first * 2.0**doublings)
