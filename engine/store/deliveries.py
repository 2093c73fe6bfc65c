"""The outbox's table: lines in order, and reports under a fencing token.

A line is what goes to one destination for one member. Of each line only the first may be claimed:
its `ready` holds the instant from which on, and that of every other delivery is empty. So a claim
reads one small index, however many deliveries wait or are done. `lane.open` counts those that
stand in a line (`queued`); changing it locks the line on databases with several writers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

import orjson
from sqlalchemy import select, update

from engine.deliver.outbox import DELIVERY
from engine.store.audits import Audits
from engine.store.claims import PAGE, Claims
from engine.store.crosswalk import batched
from engine.store.delivery_records import HELD_OF
from engine.store.outbox_queries import (
    ADD,
    ARRIVE,
    HELD,
    LINES,
    PROMOTE,
    QUEUED,
    REPORT,
    STANDING,
)
from engine.store.rows import NewDelivery
from engine.store.session import Session
from engine.store.tables import delivery, lane

Policy = Literal["park", "skip", "block"]
"""What a dead letter does: stop its own line, let its line pass, or stop the destination."""


@dataclass(frozen=True, slots=True)
class _Line:
    destination: str
    member: str


class Deliveries(Claims):
    """Keep the outbox."""

    def __init__(self, session: Session, audit: Audits) -> None:
        super().__init__(session, audit)
        self._entering: dict[tuple[str, str], list[dict[str, Any]]] = {}

    def enqueue(self, new: NewDelivery) -> str:
        """Put a delivery at the end of its line; return its id.

        Its number in the line is given when all of a transaction's are: in the order of lines,
        so that two processes never wait for each other in a circle.
        """
        session = self._session
        id, now = session.ids.new(), session.now
        self._entering.setdefault((new.destination, new.member), []).append(
            {
                "id": id,
                "message_id": new.message_id,
                "unit_id": new.unit_id,
                "destination": new.destination,
                "member": new.member,
                "type": new.type,
                "state": "waiting",
                "due": now,
                "fence": 0,
                "attempts": 0,
                "idempotency_key": new.idempotency_key or id,
                "reason": None,
                "worker": None,
                "lease_until": None,
                "created": now,
                "changed": now,
                "envelope": orjson.dumps(new.envelope).decode(),
                "body": session.vault.seal(new.body, f"delivery {id}"),
                "queued": 1,
                "blocking": 0,
            }
        )
        session.later("delivery", self._enter)
        self._record("enqueued", id, new.message_id, new.unit_id, destination=new.destination)
        session.work = True
        return id

    def _enter(self) -> None:
        """Give their numbers to those that entered a line."""
        entering, self._entering = self._entering, {}
        for page in batched(sorted(entering.items()), PAGE):
            changes = [(line, len(rows), len(rows)) for line, rows in page]
            given = {tuple(row[:2]): row[2:] for row in self._session.run(*LINES.of(changes))}
            for line, rows in page:
                last, standing = given[line]
                for place, row in enumerate(rows, 1 - len(rows)):
                    row["sequence"] = last + place
                    row["ready"] = row["due"] if standing + place == 1 else None
                self._session.add(ADD, rows)

    def complete(self, id: str, fence: int) -> bool:
        """Record that the destination has it; False where the lease was lost to another."""
        return bool(self.complete_all([(id, fence)]))

    def complete_all(self, reports: Sequence[tuple[str, int]]) -> frozenset[tuple[str, int]]:
        """Record that destinations have these (id and fence); return those whose lease was held.

        Deliveries and then lines are locked each in one order, so that two processes which record
        arrivals never wait for each other in a circle.
        """
        return frozenset(
            report for page in batched(reports, PAGE) for report in self._arrived(frozenset(page))
        )

    def _arrived(self, reports: frozenset[tuple[str, int]]) -> list[tuple[str, int]]:
        state, session = DELIVERY.after("leased", "accept"), self._session
        assert state is not None
        asked = session.run(*HELD.of([id for id, _ in reports]))
        held = [row for row in asked if (row[0], row[1]) in reports]
        if not held:
            return []
        statement, which = ARRIVE.of([row[0] for row in held])
        session.run(statement, which | {"next": state, "now": session.now})
        self._leave(Counter((destination, member) for *_, destination, member in held))
        session.work = True
        for id, fence, message, unit, *_ in held:
            self._record(state, id, message, unit, event="accept", fence=fence)
        return [(row[0], row[1]) for row in held]

    def retry(self, id: str, fence: int, due: str, reason: str) -> bool:
        """Let it be tried again from the instant `due` on; False where the lease was lost."""
        return self._report("retry", id, fence, due=due, reason=reason)

    def give_back(self, id: str, fence: int, due: str | None = None) -> bool:
        """Return it unsent, the claim not counted as an attempt; False where the lease was lost.

        It may be claimed again from the instant `due` on, or at once.
        """
        return self._report("return", id, fence, due=due or self._session.now, uncounted=1)

    def supersede(self, id: str, fence: int) -> bool:
        """Never send it: a newer version is there. False where the lease was lost."""
        return self._report("supersede", id, fence, reason="superseded")

    def hold(self, id: str, fence: int, reason: str) -> bool:
        """Withhold it with a reason; its line goes on. False where the lease was lost."""
        return self._report("withhold", id, fence, reason=reason)

    def dead(self, id: str, fence: int, reason: str, policy: Policy = "park") -> bool:
        """Make it a dead letter; False where the lease was lost.

        `park` stops its own line, `skip` lets the line pass, `block` stops the destination.
        """
        event = "skip" if policy == "skip" else "die"
        return self._report(event, id, fence, reason=reason, blocking=policy == "block")

    def _report(
        self,
        event: str,
        id: str,
        fence: int,
        *,
        due: str | None = None,
        reason: str | None = None,
        uncounted: int = 0,
        blocking: bool = False,
    ) -> bool:
        state = DELIVERY.after("leased", event)
        assert state is not None
        stays = state in DELIVERY.blocking
        session = self._session
        row = session.run(
            REPORT,
            {
                "which": id,
                "token": fence,
                "next": state,
                "at": due,
                "why": reason,
                "uncounted": uncounted,
                "stays": int(stays),
                "blocks": int(blocking),
                "now": session.now,
            },
        ).first()
        if row is None:
            return False
        session.answers.forget_all(HELD_OF)
        message, unit, destination, member = row
        if not stays:
            self._leave({(destination, member): 1})
        elif state == "waiting":
            line = _Line(destination, member)
            self._lock(line, 0)
            self._settle(line)  # an earlier one may have been released meanwhile
        session.work = True
        self._record(state, id, message, unit, event=event, fence=fence, reason=reason, due=due)
        return True

    def _leave(self, leaving: Mapping[tuple[str, str], int]) -> None:
        """Let so many leave each line, and the next of it come first."""
        changes = [(line, 0, -count) for line, count in sorted(leaving.items())]
        rows = self._session.run(*LINES.of(changes))
        self._promote([(row[0], row[1]) for row in rows if row[3] > 0])

    def _promote(self, lines: Sequence[tuple[str, str]]) -> None:
        """Let the first of each line be claimed when it is due, unless it is under way."""
        if lines:
            self._session.run(*PROMOTE.of(lines))

    def withhold(self, id: str, reason: str, actor: str = "engine") -> bool:
        """Hold a delivery that waits; False where it does not wait."""
        return self._move(id, "withhold", reason, actor)

    def release(self, id: str, actor: str) -> bool:
        """Let a held delivery go; False where it is not held."""
        return self._move(id, "release", None, actor)

    def requeue(self, id: str, actor: str) -> bool:
        """Have a dead letter tried again from the start; False where it is none."""
        return self._move(id, "requeue", None, actor)

    def skip(self, id: str, actor: str) -> bool:
        """Let the line of a dead letter pass; False where it is no dead letter of its line."""
        return self._move(id, "skip", "skipped-by-hand", actor)

    def discard(self, id: str, reason: str, actor: str) -> bool:
        """Give up a delivery that is not under way, for a person's reason."""
        return self._move(id, "discard", reason, actor)

    def _move(self, id: str, event: str, reason: str | None, actor: str) -> bool:
        row = self.get(id)
        if row is None or row.state == "leased":  # what is leased, only its worker moves
            return False
        state = DELIVERY.after(row.state, event)
        if state is None:
            return False
        session = self._session
        line = _Line(row.destination, row.member)
        stood, stands = row.state in DELIVERY.blocking, state in DELIVERY.blocking
        values: dict[str, Any] = {"state": state, "queued": int(stands), "changed": session.now}
        values |= {"reason": reason, "ready": None, "blocking": 0}
        if state == "waiting":
            values |= {"due": session.now, "attempts": 0}
        self._lock(line, int(stands) - int(stood))
        query = update(delivery).where(delivery.c.id == id, delivery.c.state == row.state)
        if session.changed(query.values(values)) != 1:
            self._lock(line, int(stood) - int(stands))
            return False
        session.answers.forget_all(HELD_OF)
        self._settle(line)
        session.work = True
        self._record(
            state, id, row.message_id, row.unit_id, actor=actor, event=event, reason=reason
        )
        return True

    def _lock(self, line: _Line, change: int) -> None:
        query = update(lane).where(
            lane.c.destination == line.destination, lane.c.member == line.member
        )
        self._session.execute(query.values(open=lane.c.open + change))

    def _settle(self, line: _Line) -> None:
        """Let the first of a line be the only one that may be claimed, unless one is under way."""
        session = self._session
        of_line = (
            delivery.c.destination == line.destination,
            delivery.c.member == line.member,
            QUEUED,
        )
        # First nobody may be claimed, then look: a claim on another machine cannot come between.
        session.execute(
            update(delivery)
            .where(*of_line, delivery.c.state == "waiting", delivery.c.ready.is_not(None))
            .values(ready=None)
        )
        leased = select(delivery.c.id).where(*of_line, delivery.c.state == "leased").limit(1)
        if session.execute(leased).first() is None:
            self._promote([(line.destination, line.member)])

    def join(self, stays: str, goes: str) -> int:
        """Let what stands in the lines of one member stand in those of another; return how many.

        Two records turned out to be one member: what was accepted for either comes before what is
        accepted from now on.
        """
        session = self._session
        session.answers.forget_all(HELD_OF)
        query = select(delivery.c.id, delivery.c.destination, delivery.c.state)
        query = query.where(delivery.c.member == goes, QUEUED)
        rows = session.execute(query.order_by(delivery.c.destination, delivery.c.sequence)).all()
        for destination, of_line in groupby(rows, lambda row: str(row[1])):
            moved = list(of_line)
            line = _Line(destination, stays)
            entering = ((destination, stays), len(moved), len(moved))
            ((_, _, last, _),) = session.run(*LINES.of([entering]))
            for place, (id, _, state) in enumerate(moved, last - len(moved) + 1):
                values: dict[str, Any] = {"member": stays, "sequence": place}
                if state == "waiting":
                    values["ready"] = None
                session.execute(update(delivery).where(delivery.c.id == id).values(values))
            self._lock(_Line(destination, goes), -len(moved))
            self._settle(line)
        return len(rows)

    def full(self, destinations: Sequence[str], most: int) -> frozenset[str]:
        """Name the destinations for which `most` deliveries or more stand in line."""
        counts = {
            name: self._session.run(STANDING, {"destination": name, "most": most}).scalar_one()
            for name in destinations
        }
        return frozenset(name for name, count in counts.items() if count >= most)

    def rearm(self, horizon: str) -> int:
        """Make due now what would be due only after the instant `horizon`; return how many.

        Mends what a clock that was once too far ahead has left behind.
        """
        now = self._session.now
        query = update(delivery).where(delivery.c.ready > horizon)
        return self._session.changed(query.values(ready=now, due=now))
