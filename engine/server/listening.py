"""Where a server listens: at one socket for all of its processes, or at one for each of them."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator

BACKLOG = 2048
"""Connections that may wait until a process takes them."""

SPREADS = sys.platform == "linux"
"""Linux spreads connections among sockets that share a port. Of processes that share a socket, one
takes all that come at once, and the others stay idle."""


class Listening:
    """Hold an address for the processes of one server; OSError where it cannot be had.

    With `spread` each of them listens at a socket of its own, which ends with it.
    """

    def __init__(self, host: str, port: int, *, spread: bool) -> None:
        self._spread = spread and SPREADS
        self._held = list(self._hold(host, port))

    def sockets(self) -> list[socket.socket]:
        """Return where the process that asks is to answer."""
        if not self._spread:
            return self._held
        return [_server(each.family, each.getsockname(), spread=True) for each in self._held]

    def close(self) -> None:
        """Let go of the address, as far as this process holds it."""
        for each in self._held:
            each.close()

    def _hold(self, host: str, port: int) -> Iterator[socket.socket]:
        """Take each address that a name stands for; one that only others listen at stays bound."""
        for family, address in _addresses(host, port):
            alone = _server(family, address, spread=False)
            if not self._spread:
                yield alone
                continue
            alone.close()  # nobody else listens there
            bound = socket.socket(family, socket.SOCK_STREAM)
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            bound.bind(address)
            yield bound


def _addresses(host: str, port: int) -> Iterator[tuple[socket.AddressFamily, tuple[str, int]]]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, address in dict.fromkeys((family, address) for family, *_, address in found):
        yield family, (str(address[0]), int(address[1]))


def _server(
    family: socket.AddressFamily | int, address: tuple[str, int], *, spread: bool
) -> socket.socket:
    return socket.create_server(address[:2], family=family, backlog=BACKLOG, reuse_port=spread)
