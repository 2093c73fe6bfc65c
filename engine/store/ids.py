"""Ids of rows: UUIDs of version 7 as text, which sort by the time they were made."""

from __future__ import annotations

import os
import threading

from engine.clock import Clock

_BLOCK = 4096
"""Bytes of randomness that are drawn at a time."""

_COUNTED = tuple(f"7{count:03x}-" for count in range(0x1000))
"""The version and the counter as they stand in an id."""

_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


class Ids:
    """Make ids that ascend within one process, also where the clock stands still or steps back."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._moment = self._count = 0
        self._head = ""
        self._tails: list[str] = []

    def new(self) -> str:
        """Return a new id (RFC 9562 section 5.7: milliseconds, a counter, 62 random bits)."""
        moment = int(self._clock.time() * 1000)
        with self._lock:
            if moment > self._moment:
                self._begin(moment)
            elif self._count + 1 < len(_COUNTED):
                self._count += 1
            else:
                self._begin(self._moment + 1)
            if not self._tails:
                self._tails = _tails()
            return self._head + _COUNTED[self._count] + self._tails.pop()

    def _begin(self, moment: int) -> None:
        """Count anew from a millisecond on."""
        self._moment, self._count = moment, 0
        self._head = f"{moment >> 16:08x}-{moment & 0xFFFF:04x}-"


def _tails() -> list[str]:
    """Return random ends of ids, each for one."""
    drawn = os.urandom(_BLOCK).hex()
    return [
        f"{_VARIANT[drawn[at]]}{drawn[at + 1 : at + 4]}-{drawn[at + 4 : at + 16]}"
        for at in range(0, len(drawn), 16)
    ]
