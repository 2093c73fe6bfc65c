"""Fakes that ship, for tests of this project and of those who build on it."""

from __future__ import annotations

from collections.abc import Callable

import httpx

from engine.clock import instant
from engine.deliver.answer import Reply
from engine.deliver.destination import Destination
from engine.deliver.request import Request


class ManualClock:
    """Tell the time it was told; it moves only by `advance`.

    Starts at `start` seconds since 1970 (2026-05-01T10:00:00Z unless said otherwise).
    """

    def __init__(self, start: float = 1_777_629_600.0) -> None:
        self._time = start
        self._monotonic = 0.0

    def time(self) -> float:
        return self._time

    def now(self) -> str:
        return instant(self._time)

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass."""
        self._time += seconds
        self._monotonic += max(seconds, 0.0)

    def step(self, seconds: float) -> None:
        """Set the wall clock forward or back, as an administrator would; no time passes."""
        self._time += seconds


class HttpxTransport:
    """Send by transports of httpx, such as a mock or an application in this process.

    `connect` gives the one for a destination; there is no network, so nothing can fail.
    """

    def __init__(self, connect: Callable[[Destination], httpx.AsyncBaseTransport]) -> None:
        self._connect = connect

    async def send(self, destination: Destination, request: Request) -> Reply:
        """Return what the destination's transport answers."""
        built = httpx.Request(
            request.method, request.url, headers=request.headers, content=request.content
        )
        response = await self._connect(destination).handle_async_request(built)
        return Reply(response.status_code, dict(response.headers), await response.aread())

    async def close(self) -> None:
        """Keep nothing."""
