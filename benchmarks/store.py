"""Measure the record: what group commit gains, and what a million messages cost the next one."""

from __future__ import annotations

import os
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, insert

from engine.message import Message
from engine.store import AttemptRow, NewDelivery, Store, Transaction, UnitRow
from engine.store.tables import audit, delivery, lane, message, touch, unit

SIZE = int(os.environ.get("CARELANE_BENCH_MESSAGES", "1000000"))
MEMBERS = 50_000
COUNT = 3000
BODY = b'{"resourceType": "Communication", "status": "completed"}' + b" " * 1500
OLD = "2020-01-01T00:00:00.000000Z"


def run() -> Iterator[dict[str, Any]]:
    """Yield one row for each budget."""
    with tempfile.TemporaryDirectory() as folder:
        with Store.open(f"sqlite:///{folder}/empty.db") as store:
            alone, shared = _commits(store)
            yield {
                "name": "store.group_commit",
                "ratio": round(shared / alone, 2),
                "against": f"one writer at a time, {alone:.0f} commits/s ({shared:.0f}/s by 16)",
                "target": 1.0,
                "better": "higher",
            }
        small = f"sqlite:///{folder}/small.db"
        large = f"sqlite:///{folder}/large.db"
        Store.open(large).close()
        seed(Path(folder) / "large.db", SIZE)
        with Store.open(small) as empty, Store.open(large) as full:
            costs = [(_cost(empty, f"a{n}"), _cost(full, f"b{n}")) for n in range(3)]
        before, after = (min(side) for side in zip(*costs, strict=True))
        yield {
            "name": "ledger.scale",
            "ratio": round(after / before, 2),
            "against": f"an empty ledger, {before * 1e6:.0f} us per message; {SIZE} messages",
            "target": 1.2,
            "better": "lower",
        }


def _commits(store: Store) -> tuple[float, float]:
    def work(tx: Transaction) -> None:
        tx.audit.append("bench.written")

    start = time.perf_counter()
    for _ in range(COUNT // 10):
        store.write(work).result()
    alone = (COUNT // 10) / (time.perf_counter() - start)
    start = time.perf_counter()
    _windowed(store, [work] * COUNT, 16)
    return alone, COUNT / (time.perf_counter() - start)


def _windowed(store: Store, jobs: list[Any], most: int) -> None:
    """Keep `most` writes under way, as that many connections would."""
    under_way: deque[Any] = deque()
    for job in jobs:
        under_way.append(store.write(job))
        if len(under_way) == most:
            under_way.popleft().result()
    for future in under_way:
        future.result()


def _cost(store: Store, name: str) -> float:
    """Return the seconds per message: accepted, claimed, tried, delivered."""
    start = time.perf_counter()
    _windowed(store, [_acceptance(f"{name}-{n}", n) for n in range(COUNT)], 16)
    done = 0
    while done < COUNT:
        claimed = (
            store.write(lambda tx: tx.deliveries.claim("bench", 64, {"hub": 64}, 60)).result().rows
        )
        assert claimed
        _windowed(store, [_report(row) for row in claimed], 16)
        done += len(claimed)
    return (time.perf_counter() - start) / COUNT


def _acceptance(key: str, number: int) -> Any:
    member = f"new-{number % 500}"

    def work(tx: Transaction) -> None:
        assert tx.messages.find_duplicate("mercy", key, key, OLD) is None
        id, unit_id = tx.ids.new(), tx.ids.new()
        kept = Message(
            id=id,
            system="mercy",
            key=key,
            digest=key,
            received=tx.now,
            body=BODY,
            interaction="create",
        )
        tx.messages.add(kept, [f"Communication/{key}"], status=201, response=b"{}")
        version = tx.resources.put("Communication", key, BODY, member=member, system="mercy")
        tx.resources.consents([member])
        tx.units.add([UnitRow(unit_id, id, 0, "Communication", "routed", member, version=version)])
        tx.decisions.add(unit_id, "permit", code=None, body={"decision": "permit"}, at=tx.now)
        tx.audit.append("message.accepted", message=id)
        tx.deliveries.enqueue(NewDelivery(id, unit_id, "hub", member, "Communication", BODY))

    return work


def _report(row: Any) -> Any:
    def work(tx: Transaction) -> None:
        tx.attempts.add(AttemptRow(row.id, row.fence, tx.now, tx.now, 200, "delivered"))
        assert tx.deliveries.complete(row.id, row.fence)

    return work


def seed(path: Path, size: int) -> None:
    """Fill a store with messages that were delivered, except one in a hundred that waits."""
    engine = create_engine(f"sqlite:///{path}")
    page = 20_000
    with engine.begin() as connection:
        connection.exec_driver_sql("PRAGMA synchronous=OFF")
        for start in range(0, size, page):
            numbers = range(start, min(start + page, size))
            connection.execute(insert(message), [_message(n) for n in numbers])
            touches = [{"system": "old", "resource": f"x/{n}", "number": n + 1} for n in numbers]
            connection.execute(insert(touch), touches)
            connection.execute(insert(unit), [_unit(n) for n in numbers])
            connection.execute(insert(delivery), [_delivery(n) for n in numbers])
            connection.execute(insert(audit), [_audit(n) for n in numbers])
        members = min(MEMBERS, size)
        lanes = [
            {"destination": "other", "member": f"m{n}", "last": size // members + 1, "open": 1}
            for n in range(members)
        ]
        connection.execute(insert(lane), lanes)
    engine.dispose()


def _message(n: int) -> dict[str, Any]:
    return {
        "number": n + 1,
        "id": f"m-{n:09}",
        "system": "old",
        "key": f"k{n}",
        "digest": f"d{n}",
        "received": OLD,
        "interaction": "create",
        "correlation": None,
        "state": "accepted",
        "status": 201,
        "response": b"{}",
        "body": b"{}",
    }


def _unit(n: int) -> dict[str, Any]:
    return {
        "id": f"u-{n:09}",
        "message_id": f"m-{n:09}",
        "entry": 0,
        "type": "Communication",
        "state": "routed",
        "member": f"m{n % MEMBERS}",
        "resource": f"Communication/{n}",
        "version": 1,
        "reason": None,
        "waiting_on": "[]",
        "notes": "[]",
        "mapping": None,
        "mapping_version": None,
        "mapping_hash": None,
        "changed": OLD,
    }


def _delivery(n: int) -> dict[str, Any]:
    waits = n % 100 == 0
    return {
        "id": f"d-{n:09}",
        "message_id": f"m-{n:09}",
        "unit_id": f"u-{n:09}",
        "destination": "other",
        "member": f"m{n % MEMBERS}",
        "sequence": n // MEMBERS + 1,
        "type": "Communication",
        "state": "waiting" if waits else "delivered",
        "due": OLD,
        "fence": 0,
        "attempts": 0,
        "idempotency_key": f"d-{n:09}",
        "reason": None,
        "worker": None,
        "lease_until": None,
        "created": OLD,
        "changed": OLD,
        "envelope": "{}",
        "body": b"{}",
        "queued": int(waits),
        "ready": OLD if waits and n < MEMBERS else None,
        "blocking": 0,
    }


def _audit(n: int) -> dict[str, Any]:
    return {
        "sequence": -n - 1,
        "at": OLD,
        "kind": "bench.seeded",
        "actor": "bench",
        "message_id": f"m-{n:09}",
        "unit_id": None,
        "delivery_id": None,
        "body": "{}",
        "hash": "",
    }


if __name__ == "__main__":
    for row in run():
        print(row)
