"""The durable record: every message, decision and delivery, on SQLite or PostgreSQL."""

from engine.ahead import Ahead
from engine.store.database import is_missing
from engine.store.rows import (
    AttemptRow,
    DecisionRow,
    DeliveryRow,
    Depth,
    Duplicate,
    EventRow,
    LinkRow,
    MessageRow,
    NewDelivery,
    NewsRow,
    ResourceRow,
    SubscriptionRow,
    TimerRow,
    UnitRow,
    WatchRow,
)
from engine.store.store import Store
from engine.store.transaction import Transaction
from engine.store.vault import PLAIN, Vault

__all__ = [
    "PLAIN",
    "Ahead",
    "AttemptRow",
    "DecisionRow",
    "DeliveryRow",
    "Depth",
    "Duplicate",
    "EventRow",
    "LinkRow",
    "MessageRow",
    "NewDelivery",
    "NewsRow",
    "ResourceRow",
    "Store",
    "SubscriptionRow",
    "TimerRow",
    "Transaction",
    "UnitRow",
    "Vault",
    "WatchRow",
    "is_missing",
]
