"""What an adapter answers: the resource on the other side, or why there is none."""

from __future__ import annotations

from dataclasses import dataclass

from engine.diagnostics import Diagnostic
from engine.fhir.json import dumps
from engine.message import Resource
from engine.transform.holding import has_extensions
from engine.transform.references import Unresolved


@dataclass(slots=True)
class Result:
    """Hold the resource, and everything its reader should know.

    `resource` is None where a diagnostic is an error or a reference is unresolved. It may share
    parts with the resource that was given: treat both as unchanging. `written` names the elements
    that may differ from what was given, where references point left aside; it is empty where none
    does, None where any may.
    """

    resource: Resource | None
    diagnostics: tuple[Diagnostic, ...]
    unresolved: tuple[Unresolved, ...] = ()
    written: frozenset[str] | None = None

    def may_extend(self) -> bool:
        """Tell whether the resource may hold extensions that the given one did not."""
        if self.written is None or self.resource is None:
            return True
        if not self.written:
            return False
        own = [self.resource[name] for name in self.written if name in self.resource]
        return has_extensions(dumps(own))

    @property
    def ok(self) -> bool:
        """Tell whether there is a resource, complete and with every reference known."""
        return self.resource is not None and not self.unresolved
