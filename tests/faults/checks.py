"""What must hold after any number of crashes, checked from outside on what sinks and record say."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sinks import Arrival

from engine.clock import after
from engine.store import DeliveryRow, Store, Transaction

RESTING = {"delivered", "held", "dead"}
LEEWAY = 0.0
"""Seconds by which a permit may be younger than the end of the consent that it rests on.

Each instant is taken when its transaction begins to write. SQLite runs those one after the other.
"""

TOOK = {"ok", "created", "wrong-body", "slow"}
"""What a sink does when it keeps what arrived."""


@dataclass(frozen=True, slots=True)
class Findings:
    """Hold every breach of a promise, in words; empty means that all of them held."""

    lost: tuple[str, ...]
    reordered: tuple[str, ...]
    unkeyed: tuple[str, ...]
    undecided: tuple[str, ...]
    unchained: tuple[str, ...]

    def all(self) -> tuple[str, ...]:
        """Return every breach."""
        return (*self.lost, *self.reordered, *self.unkeyed, *self.undecided, *self.unchained)


def inspect(store: Store, acknowledged: Iterable[str], journal: Sequence[Arrival]) -> Findings:
    """Return every breach of promises 1 to 4 (DESIGN section 4) that can be seen from outside."""
    return store.read(lambda tx: _inspect(tx, set(acknowledged), journal))


def _inspect(tx: Transaction, acknowledged: set[str], journal: Sequence[Arrival]) -> Findings:
    rows = tx.deliveries.search(limit=10_000_000)
    by_id = {row.id: row for row in rows}
    return Findings(
        tuple(_lost(acknowledged, rows, journal)),
        tuple(_reordered(by_id, journal)),
        tuple(_unkeyed(by_id, journal)),
        tuple(_undecided(tx, journal)),
        tuple(str(found) for found in tx.audit.verify()),
    )


def _lost(
    acknowledged: set[str], rows: Sequence[DeliveryRow], journal: Sequence[Arrival]
) -> Iterator[str]:
    """Each acknowledged message rests somewhere, and what is delivered was taken by its sink."""
    messages = {row.message_id for row in rows}
    yield from (f"{id} was acknowledged and is unknown" for id in acknowledged - messages)
    taken = {arrival.delivery for arrival in journal if arrival.act in TOOK}
    for row in rows:
        if row.state not in RESTING:
            yield f"{row.message_id} is {row.state} ({row.reason})"
        if row.state == "delivered" and row.id not in taken:
            yield f"{row.message_id} is called delivered and never arrived"


def _reordered(rows: dict[str, DeliveryRow], journal: Sequence[Arrival]) -> Iterator[str]:
    """No sink ever sees an earlier one of a line after a later one."""
    furthest: dict[tuple[str, str], int] = defaultdict(int)
    for arrival in journal:
        row = rows[arrival.delivery]
        line = (row.destination, row.member)
        if row.sequence < furthest[line]:
            yield f"{arrival.id} arrived after number {furthest[line]} of its line"
        furthest[line] = max(furthest[line], row.sequence)


def _unkeyed(rows: dict[str, DeliveryRow], journal: Sequence[Arrival]) -> Iterator[str]:
    """Every arrival of a delivery carries the same key, and no two deliveries share one."""
    for arrival in journal:
        row = rows[arrival.delivery]
        if (row.idempotency_key, row.message_id) != (arrival.key, arrival.id):
            yield f"{arrival.id} arrived under another key"


def _undecided(tx: Transaction, journal: Sequence[Arrival]) -> Iterator[str]:
    """Behind each arrival stands a permit of its own, from the consent as it stood then."""
    arrivals: dict[str, int] = defaultdict(int)
    for arrival in journal:
        arrivals[arrival.delivery] += 1
    for delivery, times in arrivals.items():
        permits = [d for d in tx.decisions.of_delivery(delivery) if d.decision == "permit"]
        if len(permits) < times:
            yield f"{delivery} arrived {times} times with {len(permits)} permits"
        for permit in permits:
            yield from _outdated(tx, permit.body["basis"][0]["consent"], permit.at)


def _outdated(tx: Transaction, reference: str, at: str) -> Iterator[str]:
    type, id, _, version = reference.split("/")
    cited = tx.resources.version(type, id, int(version))
    if cited is None or json.loads(cited.body)["status"] != "active":
        yield f"a permit rests on {reference}, which is not active"
    newer = tx.resources.version(type, id, int(version) + 1)
    if newer is not None and after(newer.at, LEEWAY) < at:
        yield f"a permit of {at} rests on {reference}, replaced at {newer.at}"
