"""What a reaction is handed: one accepted message, with what became of its resources."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from engine.message import Resource
from engine.project import Project
from engine.store import MessageRow, Transaction, UnitRow


@dataclass(frozen=True)
class Happening:
    """Hold those units of one accepted message that are on record.

    The message itself, with all that came, is read only for the reaction that looks at it.
    """

    units: tuple[UnitRow, ...]
    read: Callable[[], MessageRow]

    @cached_property
    def message(self) -> MessageRow:
        """Return the message as it was kept."""
        return self.read()


@dataclass(frozen=True, slots=True)
class Reaction:
    """Hold one reaction to what is put on record.

    `concerns` is asked about each canonical resource when it is accepted, and says no only where
    `react` would do nothing: it must be cheap. `react` looks at what happened and produces what
    coordination asks for (`engine.coordination.producing`); it may run again for the same
    message, and what it produces has the same ids then.
    """

    concerns: Callable[[Transaction, Project, Resource], bool]
    react: Callable[[Transaction, Project, Happening], None]
