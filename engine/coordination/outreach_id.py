"""The names of what outreach writes: the same at every try."""

from __future__ import annotations

import hashlib

from engine.fhir.json import dumps
from engine.message import Resource

PLAN = "outreach"
"""The kind of timer whose body is a plan."""

_RECORD = ("medium", "sent", "received", "status", "statusReason", "meta", "text")
_KEY_LENGTH = 32


def plan_key(communication: Resource) -> str:
    """Return the key of the plan for this content: a new state or medium makes no new plan."""
    content = {name: value for name, value in communication.items() if name not in _RECORD}
    digest = hashlib.sha256(dumps(content)).hexdigest()[:_KEY_LENGTH]
    return f"{PLAN} {communication['id']} {digest}"


def task_id(key: str) -> str:
    """Return the canonical id of the Task for a delivery with this idempotency key."""
    return hashlib.sha256(f"outreach task|{key}".encode()).hexdigest()[:32]


def address_mark(recipient: str, address: str) -> str:
    """Return what stands for an address of a recipient in plans: the record alone has addresses."""
    return hashlib.sha256(f"outreach address|{recipient}|{address}".encode()).hexdigest()[:32]
