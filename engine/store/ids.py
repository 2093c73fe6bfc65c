"""Ids of rows: UUIDs of version 7 as text, which sort by the time they were made."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

from engine.clock import Clock

_BLOCK = 4096
"""Bytes of randomness that are drawn at a time."""


class Ids:
    """Make ids that ascend within one process, also where the clock stands still or steps back."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._last = 0
        self._tails: Iterator[str] = iter(())

    def new(self) -> str:
        """Return a new id (RFC 9562 section 5.7: milliseconds, a counter, 62 random bits)."""
        stamp = int(self._clock.time() * 1000) << 12
        with self._lock:
            self._last = stamp = max(stamp, self._last + 1)
            tail = next(self._tails, None)
            if tail is None:
                self._tails = _tails()
                tail = next(self._tails)
        head = f"{stamp >> 12:012x}"
        return f"{head[:8]}-{head[8:]}-7{stamp & 0xFFF:03x}-{tail}"


def _tails() -> Iterator[str]:
    """Yield the random ends of ids, each once."""
    drawn = os.urandom(_BLOCK).hex()
    for start in range(0, len(drawn), 16):
        tail = drawn[start : start + 16]
        yield f"{'89ab'[int(tail[0], 16) & 3]}{tail[1:4]}-{tail[4:]}"
