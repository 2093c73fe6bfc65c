"""How HTTP is read: as uvicorn reads it, but no head of a request goes on for ever."""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST = 262_144
"""Bytes after which a head (request line and headers), or what follows a body, is refused."""


class BoundedHeads(HttpToolsProtocol):
    """Speak HTTP/1.1; a head or trailer without an end is cut off, whoever sends it.

    Its parts are put together anew with each piece that comes, before anybody knows who sends
    them: without a bound a single connection fills the memory and keeps all others waiting.
    """

    _read = 0
    """Bytes that came since a request began or a part of its body was there."""

    def on_message_begin(self) -> None:
        """Begin to count."""
        self._read = 0
        super().on_message_begin()

    def on_body(self, body: bytes) -> None:
        """Begin to count anew: the body has its own limit, the trailers behind it have none."""
        self._read = 0
        super().on_body(body)

    def data_received(self, data: bytes) -> None:
        """Read what came; refuse a head or trailers that are too long."""
        self._read += len(data)
        super().data_received(data)
        if self._read > MOST and not self.transport.is_closing():
            self.send_400_response("The head of this request is too large.")

    def _unsupported_upgrade_warning(self) -> None:
        """Log nothing where another protocol is offered, as Java's client does with each request.

        It is answered in this one; uvicorn would have somebody install a library for WebSockets.
        """
