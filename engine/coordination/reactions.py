"""What follows a message: each reaction looks at what was accepted and may write resources."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

from engine.coordination import (
    consent_end,
    notification_events,
    outreach,
    outreach_tasks,
    records_watch,
    review,
)
from engine.coordination.happening import Happening, Reaction
from engine.errors import StoreError
from engine.message import Unit
from engine.project import Project
from engine.store import MessageRow, TimerRow, Transaction, UnitRow

KIND = "react"
"""The kind of timer that a message with something to react to sets."""


REACTIONS: tuple[Reaction, ...] = (
    Reaction(records_watch.concerns, records_watch.follow_records),
    Reaction(notification_events.concerns, notification_events.notice_events),
    Reaction(consent_end.concerns, consent_end.follow_consents),
    Reaction(outreach_tasks.concerns, outreach_tasks.react),
    Reaction(outreach.concerns, outreach.react),
    Reaction(review.concerns, review.review_after),
)
"""Every reaction, in order."""


def expect_reactions(tx: Transaction, units: Iterable[Unit]) -> None:
    """Say, ahead of the turn, what `react_later` will ask in it."""
    for unit in units:
        if unit.canonical is not None:
            records_watch.expect(tx, unit.canonical)


def react_later(tx: Transaction, project: Project, message: str, units: Iterable[Unit]) -> None:
    """Set a timer that lets a new message be reacted to, where any of its units calls for it."""
    if any(
        reaction.concerns(tx, project, unit.canonical)
        for unit in units
        if unit.canonical is not None
        for reaction in REACTIONS
    ):
        tx.timers.set_first(reaction_key(message), KIND, tx.now, {"message": message})


def reaction_key(message: str) -> str:
    """Return the key of the timer that lets a message be reacted to, once."""
    return f"{KIND} {message}"


def foresee(tx: Transaction, project: Project, timers: Sequence[TimerRow]) -> None:
    """Work out on a snapshot, ahead of the turn, what is costly in `react` and a mere value."""
    tx.units.ready([timer.body["message"] for timer in timers])
    review.foresee(tx, project, [unit for timer in timers for unit in _units(tx, timer)])


def react(tx: Transaction, project: Project, timer: TimerRow) -> None:
    """Run every reaction to one message; the timer names it, and of what was held the one unit."""
    happening = Happening(_units(tx, timer), partial(_message, tx, timer.body["message"]))
    for reaction in REACTIONS:
        reaction.react(tx, project, happening)


def _message(tx: Transaction, id: str) -> MessageRow:
    found = tx.messages.get(id)
    if found is None:
        raise StoreError("a message with units is not on record")
    return found


def _units(tx: Transaction, timer: TimerRow) -> tuple[UnitRow, ...]:
    units, only = tx.units.of_message(timer.body["message"]), timer.body.get("unit")
    return tuple(
        unit for unit in units if unit.state in ("accepted", "routed") and only in (None, unit.id)
    )
