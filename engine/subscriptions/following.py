"""From the ledger to events: what happened on record becomes numbered events of subscriptions."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import orjson
import structlog

from engine.audit import Record
from engine.errors import StoreError
from engine.fhir.json import loads
from engine.gather import renamed
from engine.logs import origin
from engine.message import Resource
from engine.project import Project
from engine.reading import may_read
from engine.store import Store, SubscriptionRow, Transaction, UnitRow
from engine.subscriptions.filters import fits
from engine.subscriptions.lifecycle import asked_of, tell
from engine.subscriptions.topics import TOPICS, TYPES

KINDS = ("unit.accepted", "unit.routed", "unit.replayed", "delivery.delivered")
"""The records after which a system may be able to read a version that it could not read before."""

PAGE = 500
"""How many records of the ledger one step goes through at most."""

ENOUGH = 50
"""After how many events a step ends: others wait for it."""

REST = 5.0
"""Seconds after which the ledger is looked at although nobody told of anything new."""

_log = structlog.get_logger(__name__)


@dataclass
class Following:
    """Read the ledger on and on; any number of these may share one record.

    A step moves the place that was read to, numbers the events and puts their notifications into
    the outbox in one transaction, so a step that is cut off never was.
    """

    project: Callable[[], Project]
    store: Store

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until `stopping` is set."""
        while not stopping.is_set():
            seen = self.store.signal.seen
            try:
                if self._offered():
                    await asyncio.to_thread(self.turn)
            except StoreError as error:
                _log.warning("subscriptions.follow", error=type(error).__name__)
            except Exception as error:
                _log.error("subscriptions.failed", **origin(error))
            await self._rest(seen, stopping)

    def _offered(self) -> bool:
        """Tell whether any system may subscribe."""
        return any(system.hooks for system in self.project().config.systems.values())

    async def _rest(self, seen: int, stopping: asyncio.Event) -> None:
        listened = self._offered()
        news = asyncio.create_task(self.store.signal.arrived(seen, REST) if listened else _pause())
        stop = asyncio.create_task(stopping.wait())
        await asyncio.wait({news, stop}, return_when=asyncio.FIRST_COMPLETED)
        for task in (news, stop):
            task.cancel()

    def turn(self) -> int:
        """Go through everything new; return how many events there were."""
        events = 0
        while self.store.read(_is_behind):
            stepped = self.store.write(partial(step, project=self.project())).result()
            if stepped is None:
                break
            events += stepped
        return events


async def _pause() -> bool:
    await asyncio.sleep(REST)
    return False


def _is_behind(tx: Transaction) -> bool:
    """Tell whether the ledger goes on behind what was read, and anybody wants to know."""
    return tx.subscriptions.is_live() and tx.subscriptions.position() < tx.subscriptions.end()


def step(tx: Transaction, project: Project) -> int | None:
    """Go through the next records of the ledger; return how many events there were.

    None where somebody else is at it.
    """
    if not tx.subscriptions.mine():
        return None
    position = max(tx.subscriptions.position(), tx.audit.ends().first - 1)
    to = min(position + PAGE, tx.subscriptions.end())
    follower = _Follower(tx, project, tx.subscriptions.live())
    events = 0
    for record in tx.audit.between(position, to, KINDS):
        events += follower.follow(record)
        if events >= ENOUGH:
            to = record.sequence
            break
    tx.subscriptions.read_to(to)
    return events


class _Follower:
    """Go through records, in one transaction."""

    def __init__(self, tx: Transaction, project: Project, live: Sequence[SubscriptionRow]) -> None:
        self._tx = tx
        self._project = project
        self._asked = {row.id: asked_of(row) for row in live}
        self._by_type: dict[str, list[SubscriptionRow]] = defaultdict(list)
        for row in live:
            self._by_type[TOPICS[row.topic].type].append(row)

    def follow(self, record: Record) -> int:
        """Number the events that one record is; return how many."""
        found = self._version(record)
        if found is None:
            return 0
        unit, version = found
        wanted = [row for row in self._wanted(record, unit.type) if row.since < record.sequence]
        return sum(self._happens(row, unit, version, record.at) for row in wanted)

    def _version(self, record: Record) -> tuple[UnitRow, int] | None:
        """Return the unit that a record speaks of, and which version of its resource."""
        body = orjson.loads(record.body)
        if record.unit_id is None or ("type" in body and body["type"] not in TYPES):
            return None
        unit = self._tx.units.get(record.unit_id)
        if unit is None or unit.resource is None or unit.type not in self._by_type:
            return None
        version = body.get("version", unit.version)
        return None if version is None else (unit, int(version))

    def _wanted(self, record: Record, type_name: str) -> Iterator[SubscriptionRow]:
        """Yield the subscriptions to a type; after a delivery only those of who got it."""
        reached = None
        if record.kind == "delivery.delivered":
            delivery = self._tx.deliveries.get(record.delivery_id or "")
            if delivery is None or delivery.type != type_name:
                return
            reached = delivery.destination
        for row in self._by_type[type_name]:
            if reached is None or row.system == reached:
                yield row

    def _happens(self, row: SubscriptionRow, unit: UnitRow, version: int, at: str) -> bool:
        if row.system not in self._project.config.systems or not self._concerns(row, unit, version):
            return False
        counted = self._tx.subscriptions.count(row.id, at, str(unit.resource), version)
        if counted is None:
            return False
        number, state = counted
        if state in ("requested", "active"):
            caused = replace(row, message_id=unit.message_id, unit_id=unit.id)
            tell(self._tx, caused, "event-notification", {"number": number})
        body = {"subscription": f"Subscription/{row.id}", "number": number}
        self._tx.audit.append(
            "subscription.event", body, message=unit.message_id, unit=unit.id, actor="engine"
        )
        return True

    def _concerns(self, row: SubscriptionRow, unit: UnitRow, version: int) -> bool:
        """Tell whether a version is an event of a subscription that its system may hear of."""
        tx, topic = self._tx, TOPICS[row.topic]
        type_name, _, entity = str(unit.resource).partition("/")
        now, before = self._read(type_name, entity, version), None
        if version > 1:
            before = self._read(type_name, entity, version - 1)
        if (
            now is None
            or not topic.counts(now)
            or (before is not None and not topic.counts(before))
        ):
            return False
        current = tx.resources.get(type_name, entity)
        if current is None or not may_read(tx, self._project, row.system, current):
            return False
        return fits(tx, row.system, now, self._asked[row.id].conditions)

    def _read(self, type_name: str, entity: str, version: int) -> Resource | None:
        kept = self._tx.resources.version(type_name, entity, version)
        return None if kept is None or kept.deleted else renamed(self._tx, loads(kept.body))
