"""A destination as a real HTTP server on loopback that does what its script says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Received:
    """Hold one request as the server read it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


Writer = asyncio.StreamWriter
Act = Callable[[Received, Writer], Awaitable[None]]


def answer(status: int, body: bytes = b"", **headers: str) -> Act:
    """Return the act of answering with `status`; underscores in header names mean hyphens."""

    async def act(_request: Received, writer: Writer) -> None:
        lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        await writer.drain()

    return act


def raw(data: bytes) -> Act:
    """Return the act of writing `data` and closing the connection."""

    async def act(_request: Received, writer: Writer) -> None:
        writer.write(data)
        await writer.drain()
        writer.close()

    return act


def wait_for(event: asyncio.Event, then: Act) -> Act:
    """Return the act of doing `then` once `event` is set."""

    async def act(request: Received, writer: Writer) -> None:
        await event.wait()
        await then(request, writer)

    return act


async def silence(_request: Received, _writer: Writer) -> None:
    """Say nothing until the other side gives up."""
    await asyncio.Event().wait()


Script = Callable[[Received, int], Act]
"""Choose the act for a request; the number counts requests from 0."""


@dataclass(slots=True)
class Scripted:
    """Serve on loopback; keep every request in `received`."""

    script: Script = lambda _request, _number: answer(200)
    received: list[Received] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0
    _server: asyncio.Server | None = None
    _open: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        """The base URL of this server."""
        return f"http://127.0.0.1:{self.port}/fhir"

    async def __aenter__(self) -> Scripted:
        self._server = await asyncio.start_server(self._connection, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_error: object) -> None:
        assert self._server
        self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: Writer) -> None:
        task = asyncio.current_task()
        assert task
        self._open.add(task)
        try:
            while not writer.is_closing():
                request = await read_request(reader)
                number = len(self.received)
                self.received.append(request)
                self.arrived.set()
                await self.script(request, number)(request, writer)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            self._open.discard(task)
            writer.close()

    async def count(self, number: int) -> None:
        """Wait until so many requests have arrived."""
        while len(self.received) < number:
            self.arrived.clear()
            await self.arrived.wait()


async def read_request(reader: asyncio.StreamReader) -> Received:
    """Read one request with a Content-Length."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, _version = head[0].split(" ")
    pairs = (line.split(": ", 1) for line in head[1:] if line)
    headers = {name.lower(): value for name, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Received(method, path, headers, body)
