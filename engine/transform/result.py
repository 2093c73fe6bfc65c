"""What an adapter answers: the resource on the other side, or why there is none."""

from __future__ import annotations

from msgspec import Struct

from engine.diagnostics import Diagnostic
from engine.fhir.json import dumps
from engine.message import Resource
from engine.transform.holding import has_extensions
from engine.transform.references import Unresolved


class Result(Struct):
    """Hold the resource, and everything its reader should know.

    `resource` is None where a diagnostic is an error or a reference is unresolved. It may share
    parts with the resource that was given: treat both as unchanging. `written` names the elements
    that may differ from what was given, where references point left aside; None where any may.
    """

    resource: Resource | None
    diagnostics: tuple[Diagnostic, ...]
    unresolved: tuple[Unresolved, ...] = ()
    written: frozenset[str] | None = None

    def changed(self, given: Resource) -> frozenset[str] | None:
        """Return `written`, or nothing where all of it is, to the last digit, what was given."""
        if not self.written or self.resource is None:
            return self.written
        made = self.resource
        for name in self.written:
            if made.get(name, _ABSENT) is not given.get(name, _ABSENT):
                alike = _text(made, self.written) == _text(given, self.written)
                return frozenset() if alike else self.written
        return frozenset()

    def may_extend(self) -> bool:
        """Tell whether the resource may hold extensions that the given one did not."""
        if self.written is None or self.resource is None:
            return True
        return has_extensions(_text(self.resource, self.written))

    @property
    def ok(self) -> bool:
        """Tell whether there is a resource, complete and with every reference known."""
        return self.resource is not None and not self.unresolved


_ABSENT = object()


def _text(resource: Resource, names: frozenset[str]) -> bytes:
    return dumps({name: resource[name] for name in names if name in resource})
