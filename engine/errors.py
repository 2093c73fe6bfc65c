"""The exception tree: what is raised for a bug, broken input/output or a project that cannot load.

CarelaneError
├── ProjectError      config, mappings, tables or profiles do not load; carries every Diagnostic
├── StoreError        the durable record cannot be read or written; retry, never guess
│   └── StoreBusy     the queue in front of the record is full; carries the seconds to wait
│       └── OutboxFull  too much waits for a destination; carries its name
└── DeliveryError     a destination could not be reached or did not answer

Bad data is never an exception: it is a value (see `engine.message.Outcome`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.diagnostics import Diagnostic


class CarelaneError(Exception):
    """Be the root of everything that Carelane raises on purpose."""


class ProjectError(CarelaneError):
    """Refuse to load a project, with every problem found in it."""

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        super().__init__("\n".join(diagnostic.text() for diagnostic in self.diagnostics))


class StoreError(CarelaneError):
    """Report that the durable record could not be read or written."""


class StoreBusy(StoreError):  # noqa: N818 - a state of the store, named as HTTP names it
    """Report that the store takes no more work now; `retry_after` is in seconds."""

    def __init__(self, retry_after: float) -> None:
        self.retry_after = retry_after
        super().__init__(f"the store takes no more work now, retry in {retry_after:g} s")


class OutboxFull(StoreBusy):
    """Report that too much waits for a destination to take on more for it."""

    def __init__(self, destination: str, retry_after: float) -> None:
        super().__init__(retry_after)
        self.destination = destination


class DeliveryError(CarelaneError):
    """Report that a destination could not be reached or gave no usable answer."""
