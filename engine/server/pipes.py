"""The two pipes between the processes of one server: a leash that ends them, a bell for work."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

_READ = 65_536


class Leash:
    """End the processes that are forked from this one, once it lets go or is gone, however it went.

    They never hear anything on it but its end.
    """

    def __init__(self) -> None:
        self._end, self._hold = os.pipe()

    def let_go(self) -> None:
        """Tell all of them to stop; in a forked process: do not hold the others."""
        os.close(self._hold)

    @contextmanager
    def worn(self) -> Iterator[None]:
        """Have this process stop as by SIGTERM when it is let go; within a running event loop."""
        loop = asyncio.get_running_loop()

        def ended() -> None:
            loop.remove_reader(self._end)
            signal.raise_signal(signal.SIGTERM)

        loop.add_reader(self._end, ended)
        try:
            yield
        finally:
            loop.remove_reader(self._end)


class Bell:
    """Be rung in any process, be heard in the one that listens: there is work."""

    def __init__(self) -> None:
        self._heard, self._rung = os.pipe()
        os.set_blocking(self._heard, False)
        os.set_blocking(self._rung, False)

    def ring(self) -> None:
        """Tell whoever listens; any thread may. A full pipe says so already."""
        with suppress(OSError):
            os.write(self._rung, b"\n")

    @contextmanager
    def heard(self, tell: Callable[[], None]) -> Iterator[None]:
        """Call `tell` after each ringing; within a running event loop."""
        loop = asyncio.get_running_loop()

        def rung() -> None:
            with suppress(BlockingIOError):
                os.read(self._heard, _READ)
            tell()

        loop.add_reader(self._heard, rung)
        try:
            yield
        finally:
            loop.remove_reader(self._heard)
