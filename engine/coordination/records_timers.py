"""The timers of records requests: each reminder once, and one escalation at the due date."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from engine.clock import after
from engine.store import Transaction

REMIND = "records-remind"
DUE = "records-due"
OVERDUE = "records-overdue"
"""The kind of timer that goes on while a request is late: those that wait name what is open."""

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


def keep_watch(tx: Transaction, task: str) -> None:
    """Look at a late request again tomorrow, as long as it is late."""
    at = after(tx.now, _DAY)
    tx.timers.set(f"{OVERDUE} {task} {at[:10]}", OVERDUE, at, {"task": task})


def watched(tx: Transaction) -> Iterator[str]:
    """Yield the Tasks (by id, each once) that may be waited for: of no other need one look.

    Each request that is not due yet has a timer that waits, and each that is late another.
    """
    seen: set[str] = set()
    for kind in (DUE, OVERDUE):
        last = None
        while page := tx.timers.waiting(kind, last):
            for timer in page:
                task = str(timer.body["task"])
                if task not in seen:
                    seen.add(task)
                    yield task
            last = page[-1]
