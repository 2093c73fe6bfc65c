"""What follows a message: each reaction looks at what was accepted and may write resources."""

from __future__ import annotations

from engine.coordination import outreach, outreach_tasks
from engine.coordination.happening import Happening, Reaction
from engine.coordination.notification_events import notice_events
from engine.coordination.records_watch import follow_records
from engine.coordination.review import review_after
from engine.project import Project
from engine.store import TimerRow, Transaction

KIND = "react"
"""The kind of timer that a message with something to react to sets."""


REACTIONS: tuple[Reaction, ...] = (
    follow_records,
    notice_events,
    outreach_tasks.react,
    outreach.react,
    review_after,
)
"""Every reaction, in order."""


def reaction_key(message: str) -> str:
    """Return the key of the timer that lets a message be reacted to, once."""
    return f"{KIND} {message}"


def react(tx: Transaction, project: Project, timer: TimerRow) -> None:
    """Run every reaction to one message; the timer names the message."""
    message = tx.messages.get(timer.body["message"])
    if message is None:
        return
    units = tuple(
        unit for unit in tx.units.of_message(message.id) if unit.state in ("accepted", "routed")
    )
    for reaction in REACTIONS:
        reaction(tx, project, Happening(message, units))
