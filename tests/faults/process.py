"""A process of the fault harness: takes work in, or delivers it, until it is killed.

Started by the harness with one JSON argument. It dies by SIGKILL at the named checkpoint that it
was given, or whenever the harness kills it.
"""

from __future__ import annotations

import asyncio
import faulthandler
import json
import os
import random
import signal
import sys
import threading
import time
from collections import deque
from typing import Any

from engine.clock import SystemClock
from engine.deliver.answer import Reply
from engine.deliver.destination import Destination
from engine.deliver.ports import Delivery, Permit, Ruling, Withhold
from engine.deliver.request import Request
from engine.deliver.retry import RetryPolicy
from engine.deliver.transport import HttpTransport
from engine.deliver.worker import Settings, Worker
from engine.errors import StoreError
from engine.message import Message
from engine.store import NewDelivery, Store, Transaction, UnitRow

RETRY = RetryPolicy(attempts=10_000, first=0.02, cap=0.2, patience=0.2)
TIMEOUT = 1.0
LEASE = 2.0
POISON_EVERY = 100


class Doom:
    """Kill this process when a checkpoint was passed so many times."""

    def __init__(self, name: str | None, times: int) -> None:
        self.name = name
        self.left = times

    def __call__(self, name: str) -> None:
        if name == self.name:
            self.left -= 1
            if self.left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)


class DoomedTransport(HttpTransport):
    """Pass a checkpoint before and after each request."""

    def __init__(self, doom: Doom) -> None:
        super().__init__()
        self.doom = doom

    async def send(self, destination: Destination, request: Request) -> Reply:
        self.doom("before-send")
        reply = await super().send(destination, request)
        self.doom("after-send")
        return reply


def judge(tx: Transaction, delivery: Delivery) -> Permit | Withhold:
    """Permit while the member's consent in the registry is active."""
    consent = tx.resources.get("Consent", delivery.member)
    active = consent is not None and json.loads(consent.body)["status"] == "active"
    if consent is None or not active:
        return Withhold("consent-withdrawn", Ruling("deny", "consent-revoked", {"considered": []}))
    return Permit(Ruling("permit", None, {"basis": [{"consent": consent.reference}]}))


async def work(given: dict[str, Any], store: Store, doom: Doom) -> None:
    """Deliver until killed."""
    destinations = {
        name: Destination(name, url, timeout=TIMEOUT, concurrency=8, retry=RETRY)
        for name, url in given["destinations"].items()
    }
    settings = Settings(name=given["name"], lease=LEASE)
    worker = Worker(
        store, destinations, judge, DoomedTransport(doom), SystemClock(), settings=settings
    )
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
    say("ready")
    await worker.run()


def take_in(given: dict[str, Any], store: Store) -> None:
    """Accept submissions until killed; each is acknowledged on stdout once it is durable."""
    chance = random.Random(given["seed"])
    members = [f"m{number}" for number in range(given["members"])]
    store.write(lambda tx: [consent(tx, member, True) for member in members]).result()
    say("ready")
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
    under_way: deque[tuple[str, Any]] = deque()
    number = 0
    while not stopped:
        number += 1
        id, member = f"{given['name']}-{number}", chance.choice(members)
        target = chance.choice(list(given["destinations"]))
        under_way.append((id, submit(store, id, member, target, number % POISON_EVERY == 0)))
        if chance.random() < 0.02:
            toggle(store, chance.choice(members), chance.random() < 0.7)
        time.sleep(given["pace"])
        while len(under_way) >= given["window"]:
            acknowledge(*under_way.popleft())
    while under_way:
        acknowledge(*under_way.popleft())


def submit(store: Store, id: str, member: str, destination: str, poison: bool) -> Any:
    """Store one message with its unit and delivery in one transaction."""
    word = "poison" if poison else "fine"
    body = b'{"resourceType":"CareTeam","id":"%s","name":"%s"}' % (id.encode(), word.encode())
    line = f"poisoned-{id}" if poison else member

    def work(tx: Transaction) -> None:
        tx.messages.add(Message(id, "mercy", "bundle", id, id, tx.now, body))
        tx.units.add([UnitRow(f"u-{id}", id, 0, "CareTeam", "routed", member=line)])
        if poison:
            consent(tx, line, True)
        tx.deliveries.enqueue(NewDelivery(id, f"u-{id}", destination, line, "CareTeam", body))

    return store.write(work)


def consent(tx: Transaction, member: str, active: bool) -> None:
    """Enter a member's consent in the registry."""
    status = "active" if active else "inactive"
    body = json.dumps({"resourceType": "Consent", "id": member, "status": status}).encode()
    tx.resources.put("Consent", member, member=member, system="mercy", body=body)


def toggle(store: Store, member: str, active: bool) -> None:
    """Revoke or give a member's consent."""
    store.write(lambda tx: consent(tx, member, active))


def acknowledge(id: str, future: Any) -> None:
    """Say that a submission is durable, once it is."""
    try:
        future.result()
    except StoreError:
        return
    say(f"ack {id}")


def say(line: str) -> None:
    """Tell the harness at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def end_with_parent() -> None:
    """End this process when the harness that holds the other end of stdin is gone."""
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


def main() -> None:
    """Do what the harness asks; SIGUSR1 shows where every thread stands."""
    faulthandler.register(signal.SIGUSR1)
    threading.Thread(target=end_with_parent, daemon=True).start()
    given = json.loads(sys.argv[1])
    doom = Doom(given["checkpoint"], given["times"])
    with Store.open(given["store"], checkpoint=doom) as store:
        if given["role"] == "worker":
            asyncio.run(work(given, store, doom))
        else:
            take_in(given, store)


if __name__ == "__main__":
    main()
