"""The client: so many connections, each sending the next payload as soon as it was answered.

Prints one line of JSON: what was acknowledged, what was put off, how long it took.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from urllib.parse import urlsplit

import uvloop

from loopback.payloads import numbered, template

_HEAD = re.compile(rb"HTTP/1\.1 (\d+)")
_LENGTH = re.compile(rb"(?i)content-length: *(\d+)")
_LATER = re.compile(rb"(?i)retry-after: *(\d+)")


class Load:
    """Hold what all connections share: the numbers to send, until when, and what was answered."""

    def __init__(self, given: dict[str, str]) -> None:
        url = urlsplit(given["url"])
        self.host, self.port = str(url.hostname), int(url.port or 80)
        kind, self.text = template(given["kind"])
        self.head = (
            f"POST {url.path}/{kind} HTTP/1.1\r\nHost: {url.netloc}\r\n"
            f"Authorization: Bearer {given['token']}\r\nContent-Type: application/fhir+json\r\n"
        ).encode()
        self.number = int(given["start"])
        self.until = time.perf_counter() + float(given["seconds"])
        self.acknowledged: list[int] = []
        self.answers: Counter[str] = Counter()
        self.seconds: list[float] = []

    def numbers(self) -> Iterator[int]:
        """Yield the next number until the time is over."""
        while time.perf_counter() < self.until:
            self.number += 1
            yield self.number

    async def connection(self) -> None:
        """Send on one connection; what was put off is sent again when the answer says so."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        for number in self.numbers():
            body = numbered(self.text, number)
            request = b"%sContent-Length: %d\r\n\r\n%s" % (self.head, len(body), body)
            while True:
                started = time.perf_counter()
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                length = _LENGTH.search(head)
                if length:
                    await reader.readexactly(int(length[1]))
                found = _HEAD.match(head)
                status = found[1].decode() if found else "none"
                self.answers[status] += 1
                if status in ("429", "503"):
                    later = _LATER.search(head)
                    await asyncio.sleep(float(later[1]) if later else 1.0)
                    if time.perf_counter() < self.until:
                        continue
                    break
                self.seconds.append(time.perf_counter() - started)
                if status in ("200", "201"):
                    self.acknowledged.append(number)
                break
        writer.close()

    async def run(self, connections: int) -> dict[str, object]:
        """Send on all connections; return what happened."""
        started, wall = time.perf_counter(), time.time()
        await asyncio.gather(*(self.connection() for _ in range(connections)))
        taken = time.perf_counter() - started
        ordered = sorted(self.seconds) or [0.0]
        return {
            "acknowledged": self.acknowledged,
            "answers": dict(self.answers),
            "seconds": taken,
            "started": wall,
            "median": ordered[len(ordered) // 2],
            "p99": ordered[int(len(ordered) * 0.99)],
        }


def main() -> None:
    """Do what the one argument says."""
    given = json.loads(sys.argv[1])
    print(json.dumps(uvloop.run(Load(given).run(int(given["connections"])))))


if __name__ == "__main__":
    main()
