"""A worker as a process of its own, for tests that kill or stop it: one JSON argument."""

from __future__ import annotations

import asyncio
import faulthandler
import json
import os
import signal
import sys
import threading
from typing import Any

from engine.clock import SystemClock
from engine.deliver.destination import Destination
from engine.deliver.ports import Delivery, Permit, Ruling, Withhold
from engine.deliver.retry import RetryPolicy
from engine.deliver.transport import HttpTransport
from engine.deliver.worker import Settings, Worker
from engine.store import Store, Transaction

RETRY = RetryPolicy(attempts=10_000, first=0.02, cap=0.2, patience=0.2)
TIMEOUT = 1.0
LEASE = 2.0


def judge(tx: Transaction, delivery: Delivery) -> Permit | Withhold:
    """Permit while the member's consent in the registry is active."""
    consent = tx.resources.get("Consent", delivery.member)
    active = consent is not None and json.loads(consent.body)["status"] == "active"
    if consent is None or not active:
        return Withhold("consent-withdrawn", Ruling("deny", "consent-revoked", {"considered": []}))
    return Permit(Ruling("permit", None, {"basis": [{"consent": consent.reference}]}))


async def work(given: dict[str, Any], store: Store) -> None:
    """Deliver until killed."""
    more = {"interaction": "batch", "batch": given["batch"]} if "batch" in given else {}
    destinations = {
        name: Destination(name, url, timeout=TIMEOUT, concurrency=8, retry=RETRY, **more)
        for name, url in given["destinations"].items()
    }
    settings = Settings(name=given["name"], lease=LEASE)
    worker = Worker(store, destinations, judge, HttpTransport(), SystemClock(), settings=settings)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
    say("ready")
    await worker.run()


def say(line: str) -> None:
    """Tell the harness at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def end_with_parent() -> None:
    """End this process when the harness that holds the other end of stdin is gone."""
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


def main() -> None:
    """Deliver; SIGUSR1 shows where every thread stands."""
    faulthandler.register(signal.SIGUSR1)
    threading.Thread(target=end_with_parent, daemon=True).start()
    given = json.loads(sys.argv[1])
    with Store.open(given["store"]) as store:
        asyncio.run(work(given, store))


if __name__ == "__main__":
    main()
