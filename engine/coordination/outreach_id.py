"""The names of what outreach writes: the same at every try."""

from __future__ import annotations

import hashlib


def task_id(key: str) -> str:
    """Return the canonical id of the Task for a delivery with this idempotency key."""
    return hashlib.sha256(f"outreach task|{key}".encode()).hexdigest()[:32]


def address_mark(recipient: str, address: str) -> str:
    """Return what stands for an address of a recipient in plans: the record alone has addresses."""
    return hashlib.sha256(f"outreach address|{recipient}|{address}".encode()).hexdigest()[:32]
