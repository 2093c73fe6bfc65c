"""How much of a request is read before its head has ended."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from engine.server.heads import MOST, BoundedHeads

PIECE = 10_000


class Wire(asyncio.Transport):
    """Take down what is answered, and whether the connection is still open."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.answered = b""
        self.open = True

    def write(self, data: Any) -> None:
        self.answered += bytes(data)

    def close(self) -> None:
        self.open = False

    def is_closing(self) -> bool:
        return not self.open

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass


async def answer(scope: Any, receive: Any, send: Any) -> None:
    """Say that all is well once the body is there."""
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"well"})


async def sent(head: bytes, *pieces: bytes) -> tuple[Wire, int]:
    """Return the connection over which these were sent, and how many bytes it took."""
    config = uvicorn.Config(answer, log_config=None, log_level="warning", ws="none")
    config.load()
    protocol = BoundedHeads(config=config, server_state=ServerState(), app_state={})
    wire, taken = Wire(), 0
    protocol.connection_made(wire)
    for piece in (head, *pieces):
        if wire.open:
            protocol.data_received(piece)
            taken += len(piece)
            for _ in range(5):
                await asyncio.sleep(0)
    protocol.connection_lost(ConnectionError())  # it leaves the wire as it is
    return wire, taken


def test_a_head_without_an_end_is_cut_off() -> None:
    """Nobody has to be known to send a header; so none may fill the memory."""
    wire, taken = asyncio.run(sent(b"GET / HTTP/1.1\r\nX: ", *[b"a" * PIECE] * 200))
    assert not wire.open
    assert wire.answered.startswith(b"HTTP/1.1 400 ")
    assert taken <= MOST + 2 * PIECE


def test_a_body_may_be_longer_than_a_head() -> None:
    """The bound ends with the head, and begins again with the next request."""
    length = 200 * PIECE
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % length
    wire, taken = asyncio.run(sent(head, *[b"a" * PIECE] * 200))
    assert wire.open
    assert taken == len(head) + length
    assert wire.answered.startswith(b"HTTP/1.1 200 ")


def test_trailers_without_an_end_are_cut_off() -> None:
    """What may follow a body in pieces is put together like a head, and bounded like one."""
    head = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: "
    wire, taken = asyncio.run(sent(head, *[b"a" * PIECE] * 200))
    assert not wire.open
    assert taken <= MOST + 2 * PIECE


def test_many_requests_of_one_connection_do_not_add_up() -> None:
    """Each head is counted by itself, also one that begins in the piece in which a body ends."""
    head = b"POST / HTTP/1.1\r\nContent-Length: %d\r\nX: " % MOST
    whole = head + b"a" * PIECE + b"\r\n\r\n"
    pieces = [b"b" * MOST + head, b"a" * PIECE + b"\r\n\r\n"] * 50
    wire, _ = asyncio.run(sent(whole, *pieces, b"b" * MOST))
    assert wire.open
    assert wire.answered.count(b"HTTP/1.1 200 ") == 51


def test_an_offer_of_another_protocol_is_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    """It is answered like any other request, each on the same connection, and not logged."""
    offer = b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    wire, _ = asyncio.run(sent(offer, offer, offer))
    assert wire.open
    assert wire.answered.count(b"HTTP/1.1 200 ") == 3
    assert caplog.records == []
