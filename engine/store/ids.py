"""Ids of rows: UUIDs of version 7 as text, which sort by the time they were made."""

from __future__ import annotations

import os
import threading

from engine.clock import Clock


class Ids:
    """Make ids that ascend within one process, also where the clock stands still or steps back."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._last = 0

    def new(self) -> str:
        """Return a new id (RFC 9562 section 5.7: milliseconds, a counter, 62 random bits)."""
        stamp = int(self._clock.time() * 1000) << 12
        with self._lock:
            self._last = stamp = max(stamp, self._last + 1)
        head = ((stamp >> 12) << 16) | 0x7000 | (stamp & 0xFFF)
        tail = (int.from_bytes(os.urandom(8), "big") >> 2) | (1 << 63)
        text = f"{head:016x}{tail:016x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
