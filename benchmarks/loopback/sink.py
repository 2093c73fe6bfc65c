"""A destination that takes everything: it notes the number in each payload and says 200.

Prints its port; prints what arrived so far for each line that it reads.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections import Counter
from typing import cast

import uvloop

_MARK = re.compile(rb"#(\d+)#")
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Noted:
    """Hold the count of each number that arrived, how many carried none, and the last instant."""

    def __init__(self) -> None:
        self.numbers: Counter[int] = Counter()
        self.others = 0
        self.last = 0.0

    def note(self, body: bytes) -> None:
        """Note one payload."""
        self.last = time.time()
        found = _MARK.search(body)
        if found:
            self.numbers[int(found[1])] += 1
        else:
            self.others += 1


class Sink(asyncio.Protocol):
    """Serve one connection."""

    def __init__(self, noted: Noted) -> None:
        self.noted = noted
        self.data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.data += data
        while (end := self.data.find(b"\r\n\r\n")) >= 0:
            head = self.data[:end].lower()
            length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
            if len(self.data) < end + 4 + length:
                return
            self.noted.note(self.data[end + 4 : end + 4 + length])
            self.data = self.data[end + 4 + length :]
            self.transport.write(_ANSWER)


async def serve() -> None:
    """Listen, and answer questions on standard input until it ends."""
    loop = asyncio.get_running_loop()
    noted = Noted()
    server = await loop.create_server(lambda: Sink(noted), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    while question := await loop.run_in_executor(None, sys.stdin.readline):
        told: dict[str, object] = {"count": sum(noted.numbers.values()), "others": noted.others}
        if question.strip() == "all":
            told |= {"numbers": noted.numbers, "last": noted.last}
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    uvloop.run(serve())
