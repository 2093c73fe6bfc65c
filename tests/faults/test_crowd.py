"""Ten thousand members, every hundredth with a poison: it parks its own member and nobody else."""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial
from pathlib import Path

from engine.deliver.answer import Reply
from engine.deliver.destination import Destination
from engine.deliver.ports import Delivery, Permit
from engine.deliver.request import Request
from engine.deliver.retry import RetryPolicy
from engine.deliver.worker import Settings, Worker
from engine.message import Message
from engine.store import NewDelivery, Store, Transaction, UnitRow
from engine.testing import ManualClock

MEMBERS = 10_000
POISON_EVERY = 100
PAGE = 500
PATIENCE = 240.0


class Destinations:
    """Stand for a destination: it refuses what is poison and takes everything else."""

    async def send(self, destination: Destination, request: Request) -> Reply:
        return Reply(422 if b"poison" in request.content else 200)

    async def close(self) -> None:
        """There is nothing to close."""


def permit(_tx: Transaction, _delivery: Delivery) -> Permit:
    """Permit everything: no rule guards these."""
    return Permit()


def fill(tx: Transaction, numbers: range) -> None:
    """Accept one team of each member; poisoned members have one more behind it."""
    for number in numbers:
        poisoned = number % POISON_EVERY == 0
        put(tx, f"{number}", f"m{number}", b"poison" if poisoned else b"fine")
        if poisoned:
            put(tx, f"{number}-next", f"m{number}", b"fine")


def put(tx: Transaction, id: str, member: str, word: bytes) -> None:
    """Store a message that leads to one delivery."""
    body = b'{"resourceType":"CareTeam","id":"%s","name":"%s"}' % (id.encode(), word)
    tx.messages.add(Message(id, "mercy", "bundle", id, id, tx.now, body))
    tx.units.add([UnitRow(f"u{id}", id, 0, "CareTeam", "routed", member=member)])
    tx.deliveries.enqueue(NewDelivery(id, f"u{id}", "hub", member, "CareTeam", body))


def counted(store: Store) -> Counter[str]:
    """Return how many deliveries stand in each state, delivered ones left out."""
    return Counter({d.state: d.count for d in store.read(lambda tx: tx.deliveries.depth())})


async def deliver(store: Store, clock: ManualClock) -> None:
    """Let one worker deliver until only what is parked is left."""
    hub = Destination("hub", "http://hub.example/fhir", concurrency=64, retry=RetryPolicy())
    settings = Settings("crowd", lease=3600, batch=256)
    worker = Worker(store, {"hub": hub}, permit, Destinations(), clock, settings=settings)
    running = asyncio.create_task(worker.run())
    poisoned = MEMBERS // POISON_EVERY
    async with asyncio.timeout(PATIENCE):
        while True:
            seen = store.signal.seen
            if counted(store) == Counter(dead=poisoned, waiting=poisoned):
                break
            await store.signal.arrived(seen, 1)
    worker.stop()
    await running


def test_a_poison_parks_its_own_member_and_nobody_else(tmp_path: Path) -> None:
    """Of 10,000 members 9,900 get theirs; what waits stands behind a dead letter of its own."""
    clock = ManualClock()
    with Store.open(f"sqlite:///{tmp_path / 'record.db'}", clock=clock) as store:
        for first in range(0, MEMBERS, PAGE):
            store.write(partial(fill, numbers=range(first, first + PAGE))).result()
        asyncio.run(deliver(store, clock))
        rows = store.read(lambda tx: tx.deliveries.search(limit=2 * MEMBERS))
        states = {row.message_id: row.state for row in rows}
        for number in range(MEMBERS):
            poisoned = number % POISON_EVERY == 0
            assert states[f"{number}"] == ("dead" if poisoned else "delivered")
            assert states.get(f"{number}-next") == ("waiting" if poisoned else None)
        assert store.read(lambda tx: tx.audit.verify()) == []
