"""The crosswalk as adapters see it: one reference in, the other side's reference out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

Reference = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Unresolved:
    """Say which reference the crosswalk does not know.

    `key` is what linking has to name ("mercy-ehr|Patient/123"), `path` where it stands.
    """

    key: str
    reason: str
    path: str | None = None

    def at(self, path: str) -> Unresolved:
        """Return the same with the path at which the reference stands."""
        return replace(self, path=path)


class Crosswalk(Protocol):
    """Translate references between one system and canonical; never changes what it is given."""

    def to_canonical(
        self, reference: Reference, targets: frozenset[str]
    ) -> Reference | Unresolved: ...

    def to_dialect(
        self, reference: Reference, targets: frozenset[str]
    ) -> Reference | Unresolved: ...

    def literal_to_canonical(self, literal: str) -> str | None:
        """Return what a Reference that says nothing else points to; None asks for the whole."""
        return None

    def literal_to_dialect(self, literal: str) -> str | None:
        """Return the same on the way out."""
        return None


class _Identity(Crosswalk):
    """Leave every reference as it is: the same identities on both sides."""

    def to_canonical(self, reference: Reference, targets: frozenset[str]) -> Reference | Unresolved:
        return reference

    def to_dialect(self, reference: Reference, targets: frozenset[str]) -> Reference | Unresolved:
        return reference


IDENTITY: Crosswalk = _Identity()
"""The crosswalk that changes nothing."""


def is_local(reference: Reference) -> bool:
    """Tell whether a reference stays inside its resource (`#med1`)."""
    literal = reference.get("reference")
    return isinstance(literal, str) and literal.startswith("#")
