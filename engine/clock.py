"""The one door to time: a Clock is handed in wherever an instant is needed."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Protocol

WIDTH = len("2026-01-01T00:00:00.000000Z")
"""Every instant of ours has this many characters, so text order is time order."""

_MOST_COUNTED = 1024
"""How many answers are remembered: what is written in one commit asks the same."""


class Clock(Protocol):
    """Tell the time; a test hands in one that stands still."""

    def time(self) -> float:
        """Return the seconds since 1970-01-01T00:00:00Z."""
        ...

    def now(self) -> str:
        """Return the instant as RFC 3339 text in UTC with microseconds."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back, for measuring how long something took."""
        ...


class SystemClock:
    """Tell the time of the machine."""

    def time(self) -> float:
        return time.time()

    def now(self) -> str:
        return instant(time.time())

    def monotonic(self) -> float:
        return time.monotonic()


def instant(seconds: float) -> str:
    """Render seconds since 1970 as `2026-05-01T10:00:00.000000Z`."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="microseconds")[: WIDTH - 1] + "Z"


@lru_cache(maxsize=_MOST_COUNTED)
def after(at: str, seconds: float) -> str:
    """Return the instant `seconds` after `at` (before it, where negative)."""
    moment = _moment(at) + timedelta(seconds=seconds)
    return moment.isoformat(timespec="microseconds")[: WIDTH - 1] + "Z"


def written(at: str) -> str:
    """Return an instant as people write it (a zone, a date alone) in the form of our own.

    Without a zone it is in UTC. Raises ValueError for what is none.
    """
    moment = datetime.fromisoformat(at)
    try:
        return after(moment.replace(tzinfo=moment.tzinfo or UTC).isoformat(), 0)
    except OverflowError as error:
        raise ValueError("no instant between the years 1 and 9999 in UTC") from error


@lru_cache(maxsize=_MOST_COUNTED)
def seconds_between(earlier: str, later: str) -> float:
    """Return the seconds from one instant to another (negative where they are swapped)."""
    return (_moment(later) - _moment(earlier)).total_seconds()


def _moment(at: str) -> datetime:
    return datetime.fromisoformat(at).astimezone(UTC)
