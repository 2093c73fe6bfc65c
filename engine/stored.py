"""Stored messages read again: page by page, each with the units that were made of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from engine.coordination.producing import is_produced
from engine.message import Message, Unit
from engine.parse import Limits, parse
from engine.road.entries import Submission, split
from engine.store import MessageRow, Transaction, UnitRow

PAGE = 200


@dataclass(frozen=True, slots=True)
class Stored:
    """Hold one stored message as it came, and what became of each of its resources."""

    message: Message
    submission: Submission
    rows: tuple[UnitRow, ...]

    def unit(self, row: UnitRow) -> Unit | None:
        """Return the resource, as it came, that a row tells of."""
        return next((one for one in self.submission.units if one.entry == row.entry), None)


def stored_messages(tx: Transaction, since: str | None = None) -> Iterator[Stored]:
    """Yield the messages received since an instant, newest first, without those forgotten.

    What the engine wrote itself is left out: no mapping read it.
    """
    for listed in _newest_first(tx, since):
        row = tx.messages.get(listed.id)
        if row is None or row.body is None:
            continue
        message = Message(
            row.id, row.system, row.interaction, row.key, row.digest, row.received, row.body
        )
        submission = None if is_produced(message) else _submission(row.body)
        if submission is not None:
            yield Stored(message, submission, tuple(tx.units.of_message(row.id)))


def _newest_first(tx: Transaction, since: str | None) -> Iterator[MessageRow]:
    until: str | None = None
    before: set[str] = set()
    size = PAGE
    while True:
        page = tx.messages.search(since=since, until=until, limit=size)
        fresh = [row for row in page if row.id not in before]
        yield from fresh
        if len(page) < size:
            return
        # Several messages may share an instant: the next page begins at that instant again, and
        # is larger where they fill a whole one.
        size = PAGE if fresh and page[0].received != page[-1].received else size * 2
        before = {row.id for row in page}
        until = f"{page[-1].received}~"


def _submission(body: bytes) -> Submission | None:
    parsed = parse(body, Limits(len(body) + 1))
    found = split(parsed.tree) if parsed.tree is not None else None
    return found if isinstance(found, Submission) else None
