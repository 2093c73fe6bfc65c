"""The names of what outreach writes: the same at every try."""

from __future__ import annotations

import hashlib


def task_id(key: str) -> str:
    """Return the canonical id of the Task for a delivery with this idempotency key."""
    return hashlib.sha256(f"outreach task|{key}".encode()).hexdigest()[:32]
