"""Requests leave over real connections, and every way to fail comes back as a value."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Any

import httpx
import pytest
import trustme
from scripted import Act, Scripted, answer, raw, silence

from engine.deliver.answer import Reply
from engine.deliver.destination import Destination
from engine.deliver.request import Parcel, Request, build
from engine.deliver.transport import ANSWER_LIMIT, HttpTransport, Transport
from engine.testing import HttpxTransport

PARCEL = Parcel(b'{"resourceType":"CareTeam","id":"1"}', "key-1", "delivery-1", "message-1")


async def send(url: str, transport: Transport | None = None, timeout: float = 5) -> Reply:
    """Send one small resource to a FHIR endpoint."""
    destination = Destination("hub", url, timeout=timeout)
    request = build(destination, PARCEL)
    assert isinstance(request, Request)
    transport = transport or HttpTransport()
    try:
        return await transport.send(destination, request)
    finally:
        await transport.close()


def reply_to(act: Act, timeout: float = 5) -> Reply:
    """Return the reply that comes from a server which does `act`."""

    async def run() -> Reply:
        async with Scripted(lambda _request, _number: act) as server:
            return await send(server.url, timeout=timeout)

    return asyncio.run(run())


def test_an_answer_comes_back_whole() -> None:
    """Status, headers in lower case and the body arrive."""
    reply = reply_to(answer(201, b"{}", Location="CareTeam/17"))
    assert (reply.status, reply.headers["location"], reply.body) == (201, "CareTeam/17", b"{}")


def test_what_the_server_reads() -> None:
    """The server sees the method, path, headers and bytes that were built."""

    async def run() -> Scripted:
        async with Scripted() as server:
            await send(server.url)
            return server

    [request] = asyncio.run(run()).received
    assert (request.method, request.path) == ("PUT", "/fhir/CareTeam/1")
    assert request.headers["idempotency-key"] == "key-1"
    assert request.headers["content-type"] == "application/fhir+json"
    assert request.body == PARCEL.resource


def test_a_redirect_is_not_followed() -> None:
    """A redirect is an answer: the resource goes nowhere but to its destination."""

    async def run() -> tuple[Reply, int]:
        async with Scripted() as elsewhere:
            act = answer(307, Location=f"{elsewhere.url}/CareTeam/1")
            async with Scripted(lambda _request, _number: act) as server:
                reply = await send(server.url)
            return reply, len(elsewhere.received)

    reply, leaked = asyncio.run(run())
    assert (reply.status, leaked) == (307, 0)


def test_a_closed_port_is_unreachable() -> None:
    """Where nobody listens the failure says so."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/fhir"
        assert asyncio.run(send(url)).failure == "unreachable"


def test_silence_ends_in_a_time_out() -> None:
    """A server that never answers costs the time-out and no more."""
    assert reply_to(silence, timeout=0.1).failure == "timeout"


async def begin(_request: Any, writer: asyncio.StreamWriter) -> None:
    """Begin an answer and never finish its headers."""
    writer.write(b"HTTP/1.1 200 OK\r\nX-Begun: yes\r\n")
    await writer.drain()
    await asyncio.Event().wait()


def test_an_answer_that_never_ends_is_a_time_out() -> None:
    """The time-out covers the whole exchange, not only its first byte."""
    assert reply_to(begin, timeout=0.1).failure == "timeout"


@pytest.mark.parametrize(
    "act",
    [raw(b""), raw(b"HTTP/1.1 20"), raw(b"not http at all\r\n\r\n"), raw(b"\x16\x03\x01")],
    ids=["closed", "half a status", "no http", "tls"],
)
def test_a_connection_cut_short_is_broken(act: Act) -> None:
    """A half-closed or talking-nonsense connection is a failure, not an exception."""
    assert reply_to(act).failure == "broken"


def test_an_answer_cut_in_its_body_is_still_an_answer() -> None:
    """Once the status line came, the destination has said what it did."""
    reply = reply_to(raw(b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n{"))
    assert (reply.status, reply.body, reply.cut) == (201, b"", True)


def test_a_huge_answer_is_not_read() -> None:
    """An answer over the limit keeps its status and loses its body."""
    reply = reply_to(answer(200, b"x" * (ANSWER_LIMIT * 4)))
    assert (reply.status, reply.body, reply.cut) == (200, b"", False)


def test_connections_are_used_again() -> None:
    """One client for each destination keeps its connection from request to request."""
    ports: set[int] = set()

    async def note(request: Any, writer: asyncio.StreamWriter) -> None:
        ports.add(writer.get_extra_info("peername")[1])
        await answer(200)(request, writer)

    async def run() -> None:
        async with Scripted(lambda _request, _number: note) as server:
            transport, destination = HttpTransport(), Destination("hub", server.url)
            request = build(destination, PARCEL)
            assert isinstance(request, Request)
            for _ in range(5):
                await transport.send(destination, request)
            await transport.close()

    asyncio.run(run())
    assert len(ports) == 1


def test_a_put_that_broke_off_is_not_repeated_here() -> None:
    """The worker alone sends again, after its record: one send is one request."""

    async def run() -> tuple[Reply, int]:
        async with Scripted(lambda _request, _number: raw(b"")) as server:
            return await send(server.url), len(server.received)

    reply, received = asyncio.run(run())
    assert (reply.failure, received) == ("broken", 1)


def test_a_certificate_that_nobody_vouches_for_is_refused() -> None:
    """TLS is verified: nothing of the resource reaches a server that cannot prove its name."""
    received: list[bytes] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.read(10))
        writer.close()

    async def run() -> Reply:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trustme.CA().issue_cert("localhost").configure_cert(context)
        server = await asyncio.start_server(take, "127.0.0.1", 0, ssl=context)
        async with server:
            port = server.sockets[0].getsockname()[1]
            return await send(f"https://localhost:{port}/fhir")

    assert asyncio.run(run()).failure == "unreachable"
    assert not any(received)


def test_cookies_are_not_kept() -> None:
    """What one answer sets, the next request does not carry: deliveries know no sessions."""

    async def run() -> list[Any]:
        act = answer(200, **{"Set-Cookie": "session=1; Path=/"})
        async with Scripted(lambda _request, _number: act) as server:
            transport, destination = HttpTransport(), Destination("hub", server.url)
            request = build(destination, PARCEL)
            assert isinstance(request, Request)
            for _ in range(2):
                await transport.send(destination, request)
            await transport.close()
            return server.received

    assert all("cookie" not in request.headers for request in asyncio.run(run()))


def test_a_mock_of_httpx_takes_the_place_of_the_network() -> None:
    """A transport that ships for tests answers from a mock."""
    mock = httpx.MockTransport(lambda _request: httpx.Response(201, content=b"{}"))
    reply = asyncio.run(send("http://hub.example/fhir", HttpxTransport(lambda _to: mock)))
    assert (reply.status, reply.body) == (201, b"{}")
