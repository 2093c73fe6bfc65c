"""What is handed to a medium: the redacted words, to whom, from whom; made at sending, not kept."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from engine.message import Resource
from engine.outreach.plain_text import safe
from engine.rules.consent.codings import mappings
from engine.rules.mark import NOTICES, is_notice

MOST_CHARACTERS = 100_000
"""How long the words of one document may be; beyond it the medium refuses."""

_MOST_NAME = 120


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Hold one Communication as one recipient may be told it, after obligations were carried out.

    `key` is the idempotency key, `at` the instant of the decision, `paragraphs` the words,
    `meeting` the instant of a meeting proposed (RFC 3339, UTC), `due` that of a call.
    """

    medium: str
    key: str
    communication: str
    at: str
    address: str = field(repr=False)
    to: str = field(repr=False)
    recipient: str
    sender: str
    member: str | None
    member_name: str = field(repr=False, default="")
    born: str = field(repr=False, default="")
    paragraphs: tuple[str, ...] = field(repr=False, default=())
    notices: tuple[str, ...] = ()
    priority: str = "routine"
    language: str | None = None
    interpreter: bool = False
    due: str = ""
    meeting: str = ""
    security: tuple[dict[str, str], ...] = ()
    delivery: str = ""
    source: str = ""

    def encoded(self) -> bytes:
        """Return it as bytes for the worker, which looks at none of it."""
        return msgspec.json.encode(self)


def decoded(body: bytes) -> Dispatch:
    """Return what `Dispatch.encoded` gave."""
    return msgspec.json.decode(body, type=Dispatch)


def name(text: str) -> str:
    """Return a name fit for one line: no line ends, no marks that turn the direction round."""
    line = " ".join(safe(text).split())
    return line if len(line) <= _MOST_NAME else f"{line[: _MOST_NAME - 1]}…"


def paragraphs(communication: Resource) -> tuple[str, ...]:
    """Return what a Communication says, as plain paragraphs; notices are left to the medium."""
    return tuple(text for text in _spoken(communication) if text.strip())


def notices(communication: Resource) -> tuple[str, ...]:
    """Return the legal notices that travel with a Communication."""
    words = [entry.get("contentString") for entry in mappings(communication.get("payload"))]
    return tuple(notice for notice in NOTICES.values() if notice in words)


def _spoken(communication: Resource) -> Iterator[str]:
    topic = communication.get("topic")
    if isinstance(topic, dict) and isinstance(topic.get("text"), str):
        yield safe(topic["text"])
    for entry in mappings(communication.get("payload")):
        if not is_notice(entry):
            yield from _content(entry)
    for note in mappings(communication.get("note")):
        if isinstance(text := note.get("text"), str) and not is_notice(note):
            yield safe(text)


def _content(entry: Mapping[str, Any]) -> Iterator[str]:
    if isinstance(text := entry.get("contentString"), str):
        yield safe(text)
    attachment, reference = entry.get("contentAttachment"), entry.get("contentReference")
    if isinstance(attachment, dict):
        yield safe(_attached(attachment))
    if isinstance(reference, dict):
        shown = reference.get("display")
        kind = str(reference.get("type") or str(reference.get("reference", "")).partition("/")[0])
        yield safe(shown if isinstance(shown, str) else f"A {kind or 'record'} is on record.")


def _attached(attachment: Mapping[str, Any]) -> str:
    """Return the words of a plain text attachment, and only the title of any other."""
    data, kind = attachment.get("data"), str(attachment.get("contentType", ""))
    if isinstance(data, str) and kind.partition(";")[0].strip() == "text/plain":
        try:
            return base64.b64decode(data, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            pass
    title = attachment.get("title")
    return f"Attachment, available on request: {title if isinstance(title, str) else 'untitled'}"
