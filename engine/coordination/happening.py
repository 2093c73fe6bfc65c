"""What a reaction is handed: one accepted message, with what became of its resources."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from engine.project import Project
from engine.store import MessageRow, Transaction, UnitRow


@dataclass(frozen=True, slots=True)
class Happening:
    """Hold one accepted message and those of its units that are on record."""

    message: MessageRow
    units: tuple[UnitRow, ...]


Reaction = Callable[[Transaction, Project, Happening], None]
"""Look at what happened, and produce what coordination asks for (`engine.coordination.producing`).

It may run again for the same message; what it produces has the same ids then.
"""
