"""Ids of rows: UUIDs of version 7 as text, which sort by the time they were made."""

from __future__ import annotations

import os
import threading

from engine.clock import Clock

_BLOCK = 4096
"""Bytes of randomness that are drawn at a time."""


class Ids:
    """Make ids that ascend within one process, also where the clock stands still or steps back."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._last = 0
        self._tails: list[str] = []

    def new(self) -> str:
        """Return a new id (RFC 9562 section 5.7: milliseconds, a counter, 62 random bits)."""
        stamp = int(self._clock.time() * 1000) << 12
        with self._lock:
            if stamp <= self._last:
                stamp = self._last + 1
            self._last = stamp
            if not self._tails:
                self._tails = _tails()
            tail = self._tails.pop()
        return f"{stamp >> 28:08x}-{stamp >> 12 & 0xFFFF:04x}-7{stamp & 0xFFF:03x}-{tail}"


def _tails() -> list[str]:
    """Return random ends of ids, each for one."""
    drawn = os.urandom(_BLOCK).hex()
    return [
        f"{'89ab'[int(drawn[at], 16) & 3]}{drawn[at + 1 : at + 4]}-{drawn[at + 4 : at + 16]}"
        for at in range(0, len(drawn), 16)
    ]
