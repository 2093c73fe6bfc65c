"""What a worker takes from the outbox: claims under a lease, and what stands in the way of each.

A turn asks about all destinations and all that it claims at once, so that a statement is paid for
once in a turn and not for each delivery.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from engine.clock import after
from engine.store.audits import Audits
from engine.store.crosswalk import batched
from engine.store.delivery_records import DeliveryRecords
from engine.store.outbox_queries import (
    BEHIND,
    BLOCKED,
    DUE,
    EXTEND,
    FRONTS,
    LEASED,
    NEWER,
    NEXT_IN_LINE,
    TAKE,
    UNDER_WAY,
    linked,
)
from engine.store.rows import DeliveryRow
from engine.store.session import Session
from engine.store.standing import STANDING, Name

PAGE = 64
"""Values that one statement names at most."""

_NOBODY = {"by": None, "until": None}

Fits = Callable[[DeliveryRow], bool]
"""Tell whether a delivery that is due may be claimed now, as it would be once claimed."""


@dataclass(frozen=True, slots=True)
class Fronts:
    """Hold of destinations when the next delivery may be claimed, and whether they are blocked.

    Where none waits for its instant, nothing is said.
    """

    of: Mapping[str, tuple[str, bool]]

    def due(self, now: str) -> list[str]:
        """Return the destinations to which something is due, and that nothing stops."""
        return [name for name, (ready, blocked) in self.of.items() if ready <= now and not blocked]

    def next_due(self, besides: Collection[str] = ()) -> str | None:
        """Return when the next delivery to any may be claimed, `besides` some; None: none waits."""
        return min(
            (ready for name, (ready, _) in self.of.items() if name not in besides), default=None
        )


@dataclass(frozen=True, slots=True)
class Claimed:
    """Hold what a claim took, oldest first, and what was on its way there already.

    `others` names that by destination and resource (`Type/entity`); `full` names the destinations
    that may have no more leases now.
    """

    rows: list[DeliveryRow]
    others: frozenset[tuple[str, str]]
    full: frozenset[str]


def everything(_row: DeliveryRow) -> bool:
    """Let all that is due be claimed."""
    return True


class Claims(DeliveryRecords):
    """Give deliveries to workers."""

    def __init__(self, session: Session, audit: Audits) -> None:
        super().__init__(session)
        self._audit = audit

    def claim(
        self,
        worker: str,
        limit: int,
        concurrency: Mapping[str, int],
        lease: float,
        fits: Fits = everything,
        fronts: Fronts | None = None,
    ) -> Claimed:
        """Take up to `limit` deliveries that are due and first of their line, under a lease.

        `concurrency` names the destinations to serve and how many leases each may have at once,
        over all workers; the lease ends after `lease` seconds, then another claim may take the
        delivery over. Every claim gives a new fencing token (`fence`). What does not fit is passed
        over: nothing of it changes. `fronts` are those of the destinations, if already read.
        """
        until = after(self._session.now, lease)
        if fronts is None:
            fronts = self.fronts(tuple(concurrency))
        claimed: list[DeliveryRow] = []
        shared: list[str] = []
        full: list[str] = []
        for destination in fronts.due(self._session.now):
            room = limit - len(claimed)
            if room > 0 and self._session.try_lock(f"claim {destination}"):
                leased, counted = self._leased(destination)
                left = concurrency[destination] - counted
                found = self._first(destination, min(room, left), worker, until)
                claimed += filter(fits, found)
                shared += [destination] if leased else []
                full += [destination] if 0 < left <= len(found) else []
        claimed.sort(key=lambda row: row.id)
        others = self._under_way(shared, {row.id for row in claimed}) if claimed else frozenset()
        for page in batched([row.id for row in claimed], PAGE):
            statement, which = TAKE.of(page)
            values = {"by": worker, "until": until, "now": self._session.now}
            self._session.run(statement, which | values)
        for row in claimed:
            self._record(
                "leased",
                row.id,
                row.message_id,
                row.unit_id,
                worker=worker,
                fence=row.fence,
                until=until,
            )
        return Claimed(claimed, others, frozenset(full))

    def _leased(self, destination: str) -> tuple[int, int]:
        """Return how many leases there are, and how many of them have not ended."""
        values = {"destination": destination, "now": self._session.now}
        leased, counted = self._session.run(LEASED, values).one()
        return leased, counted

    def _first(self, destination: str, count: int, worker: str, until: str) -> list[DeliveryRow]:
        """Return what is due longest as it is once claimed, locked until the transaction ends."""
        if count <= 0:
            return []
        place = {"destination": destination, "now": self._session.now, "count": count}
        rows = self._session.run(DUE, {**place, "by": worker, "until": until})
        return [self._delivery(row) for row in rows]

    def _under_way(
        self, destinations: Sequence[str], claimed: Collection[str]
    ) -> frozenset[tuple[str, str]]:
        """Return what is on its way to these destinations, besides what was claimed now."""
        return frozenset(
            (destination, resource)
            for page in batched(destinations, PAGE)
            for id, destination, resource in self._session.run(*UNDER_WAY.of(page))
            if id not in claimed
        )

    def next_in_line(
        self, limit: int, rooms: Mapping[str, int], leaving: Sequence[tuple[str, str]] = ()
    ) -> list[DeliveryRow]:
        """Return what a claim would take now, as it would take it; nothing is claimed.

        `rooms` is how many more each destination may take; `leaving` are lines (destination and
        member) whose first is about to leave, so that the one behind it comes first.
        """
        now = self._session.now
        found: list[DeliveryRow] = []
        for destination in self.fronts(tuple(rooms)).due(now):
            count = min(limit - len(found), rooms[destination])
            if count > 0:
                values = {"destination": destination, "now": now, "count": count}
                rows = self._session.run(NEXT_IN_LINE, values | _NOBODY)
                found += [self._delivery(row) for row in rows]
        for lines in batched(dict.fromkeys(leaving[: limit - len(found)]), PAGE):
            statement, which = BEHIND.of(lines)
            found += [self._delivery(row) for row in self._session.run(statement, which | _NOBODY)]
        return found

    def extend(self, id: str, fence: int, lease: float) -> bool:
        """Let a lease last `lease` seconds from now; False where it was lost to another."""
        until = after(self._session.now, lease)
        values = {"which": id, "token": fence, "until": until}
        return self._session.run(EXTEND, values).rowcount == 1

    def blocked(self) -> frozenset[str]:
        """Name the destinations that a dead letter stops altogether."""
        return frozenset(self._session.run(BLOCKED, {}).scalars())

    def fronts(self, destinations: Sequence[str]) -> Fronts:
        """Return of each destination when its next may be claimed, and whether it is blocked."""
        return Fronts(
            {
                page[place]: (ready, bool(blocked))
                for page in batched(destinations, PAGE)
                for place, ready, blocked in self._session.run(*FRONTS.of(page))
                if place < len(page)
            }
        )

    def outdated(self, versions: Mapping[str, int]) -> frozenset[str]:
        """Name the resources (`Type/entity`) of which a later version is on record than this."""
        names = {reference: _name(reference) for reference in versions}
        standing = self._session.answers.to(STANDING, names.values())
        return frozenset(
            reference
            for reference, version in versions.items()
            if standing[names[reference]][0] > version
        )

    def newer(self, destination: str, reference: str, version: int, link: str = "") -> str | None:
        """Return the state of a later version of a resource (`Type/entity`) at a destination.

        `delivered`, or `waiting` where it was tried and may be there; `link` names one of several.
        """
        values = {"destination": destination, "reference": reference, "version": version}
        found: str | None = self._session.run(NEWER, values | {"link": linked(link)}).scalar()
        return found

    def _record(
        self,
        state: str,
        id: str,
        message: str,
        unit: str,
        *,
        actor: str = "engine",
        **known: str | int | None,
    ) -> None:
        body = {name: value for name, value in known.items() if value is not None}
        self._audit.append(
            f"delivery.{state}", body, message=message, unit=unit, delivery=id, actor=actor
        )


def _name(reference: str) -> Name:
    kind, _, id = reference.partition("/")
    return kind, id
