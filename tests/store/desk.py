"""What the store's tests need done on the way to their point."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from engine.message import Message
from engine.store import DeliveryRow, NewDelivery, Store, Transaction, UnitRow

T = TypeVar("T")


class Desk:
    """Do by one call what tests need done on the way to their point."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def write(self, run: Callable[[Transaction], T]) -> T:
        """Run a write and wait until it is durable."""
        return self.store.write(run).result(30)

    def accept(self, **known: Any) -> str:
        """Store a message and return its id."""
        return self.write(lambda tx: accept(tx, **known))

    def unit(self, **known: Any) -> tuple[str, str]:
        """Store a message with one unit; return both ids."""
        return self.write(lambda tx: add_unit(tx, **known))

    def enqueue(self, member: str = "m1", destination: str = "hub") -> DeliveryRow:
        """Store a message that leads to one delivery."""
        return self.write(lambda tx: enqueue(tx, member, destination))

    def claim(self, limit: int = 10, worker: str = "w", **most: int) -> list[DeliveryRow]:
        """Claim for `hub` under a lease of 30 seconds."""
        most = most or {"hub": 100}
        return self.write(lambda tx: tx.deliveries.claim(worker, limit, most, 30)).rows


def accept(tx: Transaction, **known: Any) -> str:
    """Store a message whose fields are made up where the test does not care."""
    id = tx.ids.new()
    touches = known.pop("touches", ())
    more = {
        name: known.pop(name)
        for name in ("correlation", "state", "status", "response")
        if name in known
    }
    values = {
        "id": id,
        "system": "mercy",
        "key": id,
        "digest": id,
        "received": tx.now,
        "body": b'{"resourceType": "Bundle"}',
        "interaction": "batch",
    }
    tx.messages.add(Message(**{**values, **known}), touches, **more)
    return id


def add_unit(tx: Transaction, **known: Any) -> tuple[str, str]:
    """Store a message with one unit whose fields are made up where the test does not care."""
    message, unit = accept(tx), tx.ids.new()
    values = {"entry": 0, "type": "CareTeam", "state": "routed"}
    tx.units.add([UnitRow(unit, message, **{**values, **known})])
    return message, unit


def enqueue(tx: Transaction, member: str, destination: str) -> DeliveryRow:
    """Store a message that leads to one delivery."""
    message, unit = add_unit(tx, member=member, resource="CareTeam/t1")
    id = tx.deliveries.enqueue(
        NewDelivery(message, unit, destination, member, "CareTeam", b"{}", {"method": "PUT"})
    )
    row = tx.deliveries.get(id)
    assert row is not None
    return row
