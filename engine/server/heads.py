"""How HTTP is read: as uvicorn reads it, but no head of a request goes on for ever."""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST = 262_144
"""Bytes after which a head (request line and headers) that has not ended is refused."""


class BoundedHeads(HttpToolsProtocol):
    """Speak HTTP/1.1; a head without an end is cut off, whoever sends it.

    Its parts are put together anew with each piece that comes, before anybody knows who sends
    them: without a bound a single connection fills the memory and keeps all others waiting.
    """

    _inside = False
    _read = 0

    def on_message_begin(self) -> None:
        """Begin to count."""
        self._inside, self._read = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Stop counting: what follows is the body, which has its own limit."""
        self._inside = False
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Read what came; refuse a head that is too long."""
        super().data_received(data)
        if self._inside:
            self._read += len(data)
            if self._read > MOST:
                self._inside = False
                self.send_400_response("The head of this request is too large.")
