"""What follows a message: each reaction looks at what was accepted and may write resources."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from engine.project import Project
from engine.store import MessageRow, TimerRow, Transaction, UnitRow

KIND = "react"
"""The kind of timer that a message with something to react to sets."""


@dataclass(frozen=True, slots=True)
class Happening:
    """Hold one accepted message and those of its units that are on record."""

    message: MessageRow
    units: tuple[UnitRow, ...]


Reaction = Callable[[Transaction, Project, Happening], None]
"""Look at what happened, and produce what coordination asks for (`engine.coordination.producing`).

It may run again for the same message; what it produces has the same ids then.
"""

REACTIONS: tuple[Reaction, ...] = ()
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
