"""The way to a subscriber's endpoint: what is to be sent, and the worker's transport, wider."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from engine.config import Config
from engine.deliver.answer import Reply
from engine.deliver.destination import Destination
from engine.deliver.request import Request
from engine.deliver.retry import RetryPolicy
from engine.deliver.transport import Transport
from engine.fhir.json import dumps, loads
from engine.message import Resource

PREFIX = "notify:"
"""What the name of a destination begins with that takes the notifications of a system."""


def destination_of(system: str) -> str:
    """Return the name of the destination that takes a system's notifications."""
    return f"{PREFIX}{system}"


def destinations(config: Config, policy: RetryPolicy) -> Iterator[Destination]:
    """Yield a destination for each system that may subscribe; what fails lets its line pass."""
    for name, system in config.systems.items():
        if system.hooks:
            yield Destination(
                destination_of(name),
                "",
                "hook",
                concurrency=system.concurrency,
                timeout=system.timeout,
                retry=replace(policy, poison="skip"),
            )


@dataclass(frozen=True, slots=True)
class Note:
    """Hold one notification on its way; it is in memory only, since its headers are secrets.

    `timeout` is in seconds, None for what the destination has anyway.
    """

    url: str
    bundle: Resource
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    timeout: int | None = None

    def encoded(self) -> bytes:
        """Return it as bytes for the worker to hand over."""
        return dumps(
            {
                "url": self.url,
                "headers": [list(header) for header in self.headers],
                "timeout": self.timeout,
                "bundle": self.bundle,
            }
        )


def decoded(content: bytes) -> Note:
    """Read what `Note.encoded` wrote."""
    found: Any = loads(content)
    headers = tuple((str(name), str(value)) for name, value in found["headers"])
    timeout = found["timeout"]
    return Note(found["url"], found["bundle"], headers, None if timeout is None else int(timeout))


class HookTransport:
    """Post notifications to their endpoints, and send everything else by the transport inside."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner

    async def send(self, destination: Destination, request: Request) -> Reply:
        """Return the reply within the shorter of the two time-outs."""
        if destination.interaction != "hook":
            return await self._inner.send(destination, request)
        note = decoded(request.content)
        headers = {**request.headers, **dict(note.headers)}
        post = Request("POST", note.url, headers, dumps(note.bundle), "Bundle")
        if note.timeout is not None and note.timeout < destination.timeout:
            destination = replace(destination, timeout=float(note.timeout))
        return await self._inner.send(destination, post)

    async def close(self) -> None:
        """Close every connection."""
        await self._inner.close()
