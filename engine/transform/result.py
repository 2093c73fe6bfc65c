"""What an adapter answers: the resource on the other side, or why there is none."""

from __future__ import annotations

from dataclasses import dataclass

from engine.diagnostics import Diagnostic
from engine.message import Resource
from engine.transform.references import Unresolved


@dataclass(slots=True)
class Result:
    """Hold the resource, and everything its reader should know.

    `resource` is None where a diagnostic is an error or a reference is unresolved. It may share
    parts with the resource that was given: treat both as unchanging.
    """

    resource: Resource | None
    diagnostics: tuple[Diagnostic, ...]
    unresolved: tuple[Unresolved, ...] = ()

    @property
    def ok(self) -> bool:
        """Tell whether there is a resource, complete and with every reference known."""
        return self.resource is not None and not self.unresolved
