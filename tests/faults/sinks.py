"""Scripted destinations of the fault harness: they note every arrival and misbehave at random."""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from engine.clock import SystemClock

CLOCK = SystemClock()
MARK = re.compile(rb"M(\d+) E(\d+)")
"""What the harness writes into each resource: the member's number and the edition's."""

Writer = asyncio.StreamWriter


@dataclass(frozen=True, slots=True)
class Arrival:
    """Hold one request whose whole body was read, at the instant `at`.

    `mark` is the member and edition that the harness wrote into it.
    """

    destination: str
    delivery: str
    key: str
    id: str
    act: str
    at: str = ""
    type: str = ""
    mark: tuple[int, int] | None = None


@dataclass
class Sink:
    """Serve one destination on loopback; while `wild` it fails about three times in ten."""

    name: str
    seed: int
    journal: list[Arrival] = field(default_factory=list)
    wild: bool = True
    url: str = ""
    _server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen."""
        self._chance = random.Random(self.seed)
        self._server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/fhir"

    def close(self) -> None:
        """Listen no more."""
        if self._server:
            self._server.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: Writer) -> None:
        try:
            while not writer.is_closing():
                await self._one(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the other side was killed
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: Writer) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[1:-2]
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in head)}
        content = await reader.readexactly(int(headers["content-length"]))
        body = json.loads(content)
        act = self._choose(body)
        self.journal.append(self._arrival(headers, content, body, act))
        await ACTS[act](writer)
        await writer.drain()

    def _arrival(
        self, headers: dict[str, str], content: bytes, body: dict[str, str], act: str
    ) -> Arrival:
        found = MARK.search(content)
        return Arrival(
            self.name,
            headers["x-request-id"],
            headers["idempotency-key"],
            body["id"],
            act,
            CLOCK.now(),
            body.get("resourceType", ""),
            (int(found[1]), int(found[2])) if found else None,
        )

    def _choose(self, body: dict[str, str]) -> str:
        if str(body.get("name")).startswith("poison"):
            return "refuse"
        return self._chance.choices(list(WEIGHTS), list(WEIGHTS.values()))[0] if self.wild else "ok"


def _say(status: int, body: bytes = b"", headers: str = "") -> Callable[[Writer], Awaitable[None]]:
    async def act(writer: Writer) -> None:
        head = f"HTTP/1.1 {status} Said\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
        writer.write(head.encode() + body)

    return act


async def _close(writer: Writer) -> None:
    writer.close()


async def _half(writer: Writer) -> None:
    writer.write(b"HTTP/1.1 20")
    writer.close()


async def _slow(writer: Writer) -> None:
    await asyncio.sleep(0.3)
    await ACTS["ok"](writer)


async def _silent(writer: Writer) -> None:
    await asyncio.sleep(1.5)  # longer than the time-out of the harness's workers
    writer.close()


ACTS: dict[str, Callable[[Writer], Awaitable[None]]] = {
    "ok": _say(200),
    "created": _say(201, headers="Location: /fhir/CareTeam/own/_history/1\r\n"),
    "wrong-body": _say(200, b"<html>fine</html>"),
    "error": _say(500, b"not json {"),
    "unavailable": _say(503, headers="Retry-After: 0\r\n"),
    "too-many": _say(429),
    "asked-to-wait": _say(429, headers="Retry-After: 1\r\n"),
    "conflict": _say(409, b'{"resourceType":"OperationOutcome","issue":[]}'),
    "close": _close,
    "half": _half,
    "slow": _slow,
    "silent": _silent,
    "refuse": _say(422, b'{"resourceType":"OperationOutcome","issue":[{"severity":"error"}]}'),
}
WEIGHTS = {
    "ok": 50,
    "created": 15,
    "wrong-body": 5,
    "error": 6,
    "unavailable": 5,
    "too-many": 4,
    "asked-to-wait": 1,
    "close": 5,
    "half": 5,
    "slow": 3,
    "silent": 1,
}
"""How often a wild destination does what, out of a hundred."""
