"""What must hold after any number of crashes, checked from outside on what sinks and record say."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields

from sinks import Arrival
from traffic import Ack

from engine.fhir.json import loads
from engine.store import DecisionRow, DeliveryRow, Store, Transaction, UnitRow

RESTING = {"delivered", "held", "dead", "superseded"}
PASSED = {"routed", "accepted", "rejected"}
TOOK = {"ok", "created", "wrong-body", "slow"}
"""What a sink does when it keeps what arrived."""

ALL = 10_000_000


@dataclass(frozen=True, slots=True)
class Findings:
    """Hold every breach of a promise, in words; empty means that all of them held."""

    lost: tuple[str, ...]
    reordered: tuple[str, ...]
    stale: tuple[str, ...]
    doubled: tuple[str, ...]
    undecided: tuple[str, ...]
    unchained: tuple[str, ...]

    def all(self) -> tuple[str, ...]:
        """Return every breach."""
        return tuple(breach for kind in fields(self) for breach in getattr(self, kind.name))


def inspect(store: Store, acks: Iterable[Ack], journal: Sequence[Arrival]) -> Findings:
    """Return every breach of promises 1 to 4 (DESIGN section 4) that can be seen from outside."""
    return store.read(lambda tx: Inspection(tx, list(acks), journal).findings())


@dataclass
class Inspection:
    """Hold what was acknowledged and what arrived against the record."""

    tx: Transaction
    acks: Sequence[Ack]
    journal: Sequence[Arrival]
    rows: Mapping[str, DeliveryRow] = field(init=False)
    units: dict[str, UnitRow | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rows = {row.id: row for row in self.tx.deliveries.search(limit=ALL)}

    def findings(self) -> Findings:
        """Check everything."""
        return Findings(
            tuple(self._lost()),
            tuple(_reordered(self.journal)),
            tuple(self._stale()),
            tuple(self._doubled()),
            tuple(self._undecided()),
            tuple(str(found) for found in self.tx.audit.verify()),
        )

    def _unit(self, id: str) -> UnitRow | None:
        if id not in self.units:
            self.units[id] = self.tx.units.get(id)
        return self.units[id]

    def _lost(self) -> Iterator[str]:
        """Each acknowledged message rests somewhere; what is delivered was taken by its sink."""
        for ack in self.acks:
            units = self.tx.units.of_message(ack.message)
            if not units:
                yield f"{ack.key} was acknowledged and is unknown"
            yield from (
                f"{ack.key} is {u.state} ({u.reason})" for u in units if u.state not in PASSED
            )
        taken = {arrival.delivery for arrival in self.journal if arrival.act in TOOK}
        for row in self.rows.values():
            if row.state not in RESTING:
                yield f"{row.id} is {row.state} ({row.reason})"
            if row.state == "delivered" and row.id not in taken:
                yield f"{row.id} is called delivered and never arrived"

    def _stale(self) -> Iterator[str]:
        """No destination sees an older version of a resource after a newer one."""
        newest: dict[tuple[str, str], int] = defaultdict(int)
        for arrival in self.journal:
            unit = self._unit(self.rows[arrival.delivery].unit_id)
            if unit is None or unit.version is None or arrival.act == "refuse":
                continue
            name = (arrival.destination, str(unit.resource))
            if unit.version < newest[name]:
                yield f"version {unit.version} of {name} arrived after {newest[name]}"
            newest[name] = max(newest[name], unit.version)

    def _doubled(self) -> Iterator[str]:
        """The same thing never arrives under two keys, nor two things under one."""
        keys: dict[object, str] = {}
        for arrival in self.journal:
            row = self.rows[arrival.delivery]
            if row.idempotency_key != arrival.key:
                yield f"{arrival.delivery} arrived under another key"
            thing = (arrival.destination, arrival.type, arrival.id, arrival.mark)
            if keys.setdefault(thing, arrival.key) != arrival.key:
                yield f"{thing} arrived under two keys"

    def _undecided(self) -> Iterator[str]:
        """Behind each Communication that arrived stands a permit of its own, taken before."""
        arrivals: dict[str, list[str]] = defaultdict(list)
        for arrival in self.journal:
            if arrival.type == "Communication":
                arrivals[arrival.delivery].append(arrival.at)
        chain = _Chain(self.tx)
        for delivery, times in arrivals.items():
            decisions = self.tx.decisions.of_delivery(delivery)
            yield from _unpermitted(delivery, sorted(times), decisions)
            for decision in decisions:
                if decision.decision == "permit":
                    yield from chain.outdated(delivery, decision)


def _reordered(journal: Sequence[Arrival]) -> Iterator[str]:
    """No destination ever sees an earlier thing about a member after a later one."""
    furthest: dict[tuple[str, int], int] = defaultdict(int)
    for arrival in journal:
        if arrival.mark is None:
            continue
        member, edition = arrival.mark
        line = (arrival.destination, member)
        if edition < furthest[line]:
            yield f"edition {edition} of {line} arrived after {furthest[line]}"
        furthest[line] = max(furthest[line], edition)


def _unpermitted(
    delivery: str, times: Sequence[str], decisions: Sequence[DecisionRow]
) -> Iterator[str]:
    """Count each arrival against the permits before it; after a last deny nothing may arrive."""
    permits = sorted(d.at for d in decisions if d.decision == "permit")
    for number, at in enumerate(times):
        if number >= len(permits) or permits[number] > at:
            yield f"{delivery} arrived at {at} without a permit of its own before that"
    denies = [d.at for d in decisions if d.decision != "permit"]
    if denies and times and times[-1] > max(denies) and (not permits or permits[-1] < max(denies)):
        yield f"{delivery} arrived at {times[-1]}, after it was denied at {max(denies)}"


class _Chain:
    """Know from the ledger's chain, beyond any clock, what stood before what."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._claims: dict[tuple[str, int], int] = {}
        self._versions: dict[tuple[str, int], int] = {}
        for record in tx.audit.records():
            if record.kind == "delivery.leased" and record.delivery_id:
                body = loads(record.body.encode())
                self._claims[(record.delivery_id, body["fence"])] = record.sequence
            elif record.kind in ("unit.accepted", "unit.routed") and record.unit_id:
                self._note(record.unit_id, record.sequence, record.body)

    def _note(self, unit_id: str, sequence: int, body: str) -> None:
        if '"Consent"' in body and (unit := self._tx.units.get(unit_id)) and unit.version:
            self._versions[(str(unit.resource), unit.version)] = sequence

    def outdated(self, delivery: str, permit: DecisionRow) -> Iterator[str]:
        """Yield where a permit rests on a Consent that was not in force at its claim."""
        claim = self._claims.get((delivery, permit.body.get("attempt", 0)))
        if claim is None:
            yield f"{delivery} has a permit without a claim"
            return
        for basis in permit.body["basis"]:
            name, _, version = basis["consent"].partition("/_history/")
            kind, _, id = name.partition("/")
            cited = self._tx.resources.version(kind, id, int(version))
            if cited is None or loads(cited.body)["status"] != "active":
                yield f"{delivery} was permitted by {basis['consent']}, which is not active"
            replaced = self._versions.get((name, int(version) + 1))
            if replaced is not None and replaced < claim:
                yield f"{delivery} was permitted by {basis['consent']}, replaced before"
