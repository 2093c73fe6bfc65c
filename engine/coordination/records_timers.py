"""The timers of records requests: each reminder once, and one escalation at the due date."""

from __future__ import annotations

from collections.abc import Iterable

from engine.clock import after
from engine.store import Transaction

REMIND = "records-remind"
DUE = "records-due"
_DAY = 86_400


def track(tx: Transaction, task: str, due: str, reminders: Iterable[int]) -> None:
    """Set the timers of a request that is due at an instant; setting them again does nothing.

    Another due date sets others: those set for the old one see that it is not theirs any more.
    """
    for days in sorted(set(reminders), reverse=True):
        at = after(due, -days * _DAY)
        if at > tx.now:
            body = {"task": task, "due": due, "days": days}
            tx.timers.set(f"{REMIND} {task} {due} {days}", REMIND, at, body)
    tx.timers.set(f"{DUE} {task} {due}", DUE, due, {"task": task, "due": due})


def is_tracked(tx: Transaction, task: str, due: str) -> bool:
    """Tell whether the timers of a request were ever set for this due date."""
    return tx.timers.get(f"{DUE} {task} {due}") is not None
