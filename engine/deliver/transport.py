"""Send requests by httpx and bring back what was answered; a failure is a value here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import httpx

from engine.deliver.answer import Failure, Reply
from engine.deliver.destination import Destination
from engine.deliver.request import Request

ANSWER_LIMIT = 262_144
"""Bytes of an answer that are read; nothing behind them is of use."""

IDLE = 4.0
"""Seconds that a connection is kept unused: less than common servers' 5, to miss their closing."""

CONNECT = 5.0
"""Seconds in which a connection must come about."""

Connector = Callable[[Destination], httpx.AsyncBaseTransport]
"""Make the lowest layer for one destination: httpx's own, or one that a test hands in."""


class Transport(Protocol):
    """Send one request to a destination."""

    async def send(self, destination: Destination, request: Request) -> Reply:
        """Return the reply, also where there is no answer; raise only when cancelled."""
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...


class HttpTransport:
    """Send over HTTP by httpx's transports: TLS verified, no redirects, no cookies, no proxies.

    Each destination has as many transports of one connection as it ever had requests at once: a
    pool of httpcore looks at all of its connections for each request, which costs more than the
    request itself.
    """

    def __init__(self, connector: Connector | None = None) -> None:
        self._connector = connector or _Connector()
        self._idle: dict[str, list[httpx.AsyncBaseTransport]] = {}

    async def send(self, destination: Destination, request: Request) -> Reply:
        """Return the reply within the destination's time-out, read up to `ANSWER_LIMIT`."""
        idle = self._idle.setdefault(destination.name, [])
        lane = idle.pop() if idle else self._connector(destination)
        try:
            async with asyncio.timeout(destination.timeout):
                return await _exchange(lane, request, destination.timeout)
        except TimeoutError:
            return Reply(failure="timeout")
        except httpx.HTTPError as error:
            return Reply(failure=_failure(error))
        finally:
            idle.append(lane)

    async def close(self) -> None:
        """Close every connection."""
        idle, self._idle = self._idle, {}
        for lanes in idle.values():
            for lane in lanes:
                await lane.aclose()


class _Connector:
    """Make transports that share one TLS context, which is dear to make."""

    def __init__(self) -> None:
        self._tls = httpx.create_ssl_context(trust_env=False)

    def __call__(self, destination: Destination) -> httpx.AsyncBaseTransport:
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=IDLE)
        return httpx.AsyncHTTPTransport(verify=self._tls, trust_env=False, limits=limits)


async def _exchange(lane: httpx.AsyncBaseTransport, request: Request, timeout: float) -> Reply:
    limits = httpx.Timeout(timeout, connect=min(CONNECT, timeout)).as_dict()
    built = httpx.Request(
        request.method,
        request.url,
        headers=request.headers,
        content=request.content,
        extensions={"timeout": limits},
    )
    response = await lane.handle_async_request(built)
    try:
        return Reply(response.status_code, dict(response.headers), await _body(response))
    finally:
        await response.aclose()


async def _body(response: httpx.Response) -> bytes:
    """Read an answer up to the limit; one that breaks off in its body was still an answer."""
    if response.is_stream_consumed:  # read already: no network, a transport of a test
        return response.content
    body = b""
    try:
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > ANSWER_LIMIT:
                return b""
    except httpx.HTTPError:
        return b""
    return body


def _failure(error: httpx.HTTPError) -> Failure:
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
        return "unreachable"
    return "timeout" if isinstance(error, httpx.TimeoutException) else "broken"
