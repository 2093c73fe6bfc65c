"""Send requests by HTTP and bring back what was answered; a failure is a value here."""

from __future__ import annotations

from functools import cache
from typing import Protocol

import aiohttp
import httpx
from aiohttp.abc import AbstractStreamWriter
from yarl import URL

from engine.deliver.answer import Failure, Reply
from engine.deliver.destination import Destination
from engine.deliver.request import Request

ANSWER_LIMIT = 262_144
"""Bytes of an answer that are read; nothing behind them is of use."""

IDLE = 4.0
"""Seconds that a connection is kept unused: less than common servers' 5, to miss their closing."""

CONNECT = 5.0
"""Seconds in which a connection must come about."""


class Transport(Protocol):
    """Send one request to a destination."""

    async def send(self, destination: Destination, request: Request) -> Reply:
        """Return the reply, also where there is no answer; raise only when cancelled."""
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...


class HttpTransport:
    """Send over HTTP by aiohttp: TLS verified, no redirects, no cookies, no proxies.

    The worker bounds what is under way, so connections are not bounded again here, and it alone
    sends again: aiohttp would repeat a PUT whose connection broke, but not a body that is used up.
    """

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def send(self, destination: Destination, request: Request) -> Reply:
        """Return the reply within the destination's time-out, read up to `ANSWER_LIMIT`."""
        session = self._session
        if session is None:
            session = self._session = _session()
        try:
            async with session.request(
                request.method,
                URL(request.url, encoded=True),
                data=_Once(request.content),
                headers={**request.headers, "Content-Length": str(len(request.content))},
                allow_redirects=False,
                timeout=_timeout(destination.timeout),
            ) as response:
                headers = {name.lower(): value for name, value in response.headers.items()}
                body = await _body(response)
                return Reply(response.status, headers, body or b"", cut=body is None)
        except (TimeoutError, aiohttp.ClientError) as error:
            return Reply(failure=_failure(error))

    async def close(self) -> None:
        """Close every connection."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()


def _session() -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(
        limit=0, keepalive_timeout=IDLE, ssl=httpx.create_ssl_context(trust_env=False)
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
    )


class _Once(aiohttp.Payload):
    """Write a body, and say that it is used up: then aiohttp repeats no request."""

    _value: bytes
    _autoclose = True

    @property
    def consumed(self) -> bool:
        """Say yes."""
        return True

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Return it as text."""
        return self._value.decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write it whole."""
        await writer.write(self._value)


@cache
def _timeout(seconds: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=seconds, sock_connect=min(CONNECT, seconds))


async def _body(response: aiohttp.ClientResponse) -> bytes | None:
    """Read an answer up to the limit; None where it breaks off, which was still an answer."""
    body = b""
    try:
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > ANSWER_LIMIT:
                response.close()
                return b""
    except aiohttp.ClientError:
        response.close()
        return None
    return body


def _failure(error: TimeoutError | aiohttp.ClientError) -> Failure:
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        return "unreachable"
    return "timeout" if isinstance(error, TimeoutError) else "broken"
