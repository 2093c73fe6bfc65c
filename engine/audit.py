"""The ledger's chain: what makes a changed, removed or reordered record show."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import orjson

GENESIS = "0" * 64
"""The hash before the first record."""

PRUNED = "ledger.pruned"
"""The kind of a record that says up to where the chain was removed, and the hash it ended with."""


@dataclass(frozen=True, slots=True)
class Record:
    """Hold one record of the chain; `body` is JSON text, kept to the letter."""

    sequence: int
    at: str
    kind: str
    actor: str
    message_id: str | None
    unit_id: str | None
    delivery_id: str | None
    body: str
    hash: str = ""

    def sealed(self, before: str) -> str:
        """Return the SHA-256, in hex, over the hash before and every field of this record."""
        return sealed(
            before,
            self.sequence,
            self.at,
            self.kind,
            self.actor,
            self.message_id,
            self.unit_id,
            self.delivery_id,
            self.body,
        )


def sealed(before: str, *fields: str | int | None) -> str:
    """Return the SHA-256, in hex, over the hash before and the fields of a record, in order.

    Whoever tampers may leave values of other kinds than text; they get a hash of their own.
    """
    return hashlib.sha256(orjson.dumps((before, *fields), default=repr)).hexdigest()


@dataclass(frozen=True, slots=True)
class Break:
    """Say where the chain does not hold: `sequence` and what was found there."""

    sequence: int
    finding: str


@dataclass(frozen=True, slots=True)
class Ends:
    """Hold both ends of a chain: the kept part is `first` to `last`, after hash `before`."""

    first: int
    before: str
    last: int
    hash: str


def breaks(ends: Ends, records: Iterable[Record]) -> Iterator[Break]:
    """Yield every place where the records are not what the chain says, in order.

    Where the chain starts behind its first record, the last pruning must have said so in it.
    """
    expected, before = ends.first, ends.before
    pruned: tuple[object, object] | None = None
    for record in records:
        if record.sequence != expected:
            yield Break(expected, _gap(expected, record.sequence))
        if record.sealed(before) != record.hash:
            yield Break(record.sequence, "changed, moved, or the record before it was replaced")
        elif record.kind == PRUNED:
            pruned = _pruned(record.body)
        expected, before = record.sequence + 1, record.hash
    if ends.first > 1 and pruned != (ends.first - 1, ends.before):
        yield Break(ends.first - 1, "the records up to here were removed, and not by pruning")
    if expected != ends.last + 1:
        yield Break(expected, f"the chain should end at {ends.last}")
    elif before != ends.hash:
        yield Break(ends.last, "its hash is not the one that the chain ends with")


def _pruned(body: str) -> tuple[object, object] | None:
    """Return through which record the chain was removed, and the hash of that one."""
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return (told.get("through"), told.get("hash")) if isinstance(told, dict) else None


def _gap(expected: int, found: int) -> str:
    if found < expected:
        return f"record {found} stands out of order"
    return f"{found - expected} removed before record {found}"
