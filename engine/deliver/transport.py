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
    """Send over HTTP: one client for each destination, TLS verified, redirects not followed."""

    def __init__(self, connector: Connector | None = None) -> None:
        self._connector = connector or _connect
        self._clients: dict[str, httpx.AsyncClient] = {}

    async def send(self, destination: Destination, request: Request) -> Reply:
        """Return the reply within the destination's time-out, read up to `ANSWER_LIMIT`."""
        try:
            async with asyncio.timeout(destination.timeout):
                return await _exchange(self._client(destination), request)
        except TimeoutError:
            return Reply(failure="timeout")
        except httpx.HTTPError as error:
            return Reply(failure=_failure(error))

    async def close(self) -> None:
        """Close every client."""
        clients, self._clients = self._clients, {}
        for client in clients.values():
            await client.aclose()

    def _client(self, destination: Destination) -> httpx.AsyncClient:
        if destination.name not in self._clients:
            self._clients[destination.name] = httpx.AsyncClient(
                transport=self._connector(destination),
                timeout=httpx.Timeout(destination.timeout, connect=min(5.0, destination.timeout)),
                follow_redirects=False,
                trust_env=False,
            )
        return self._clients[destination.name]


def _connect(destination: Destination) -> httpx.AsyncBaseTransport:
    limits = httpx.Limits(
        max_connections=destination.concurrency,
        max_keepalive_connections=destination.concurrency,
        keepalive_expiry=IDLE,
    )
    return httpx.AsyncHTTPTransport(verify=True, trust_env=False, limits=limits)


async def _exchange(client: httpx.AsyncClient, request: Request) -> Reply:
    built = client.build_request(
        request.method, request.url, headers=request.headers, content=request.content
    )
    response = await client.send(built, stream=True)
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
