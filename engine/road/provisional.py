"""A Consent that is held: read as far as it can be, so that what it takes back ends at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.message import Resource, Unit
from engine.road.identify import member_of
from engine.road.trip import Trip
from engine.transform.crosswalk import SystemCrosswalk, literal
from engine.transform.references import Crosswalk, Unresolved

PROVISIONAL = "https://carelane.example/fhir/StructureDefinition/provisional-consent"
"""The modifier extension of a Consent that cannot be relied on: it permits nothing."""

_ENDED = {"not-done": "rejected"}
_KNOWN_ENDS = frozenset({"inactive", "rejected", "entered-in-error"})


@dataclass(frozen=True, slots=True)
class _AsFarAsKnown(Crosswalk):
    """Resolve what the crosswalk knows; anybody else stays named as the source names them."""

    known: SystemCrosswalk
    base: str

    def to_canonical(
        self, reference: dict[str, Any], targets: frozenset[str]
    ) -> dict[str, Any] | Unresolved:
        found = self.known.to_canonical(reference, targets)
        if not isinstance(found, Unresolved):
            return found
        target = reference.get("reference")
        named = literal(target) if isinstance(target, str) else None
        if named is None or named.base is not None:
            return dict(reference)
        return {**reference, "reference": f"{self.base}/{named.local}"}

    def to_dialect(
        self, reference: dict[str, Any], targets: frozenset[str]
    ) -> dict[str, Any] | Unresolved:
        return self.known.to_dialect(reference, targets)


def provisional(unit: Unit, trip: Trip) -> Resource | None:
    """Return a held Consent in canonical form, marked; None where whose it is cannot be told.

    Whom the crosswalk does not know cannot be resolved, so matches a deny and not a permit
    (CONSENT.md, semantics 10); the mark keeps the whole from permitting (semantics 12).
    """
    system = trip.project.config.systems[trip.system]
    adapter = trip.project.adapter(system.dialect, unit.type)
    crosswalk = _AsFarAsKnown(trip.crosswalk(trip.system), system.base_url)
    result = adapter.to_canonical(unit.source, crosswalk)
    if result.resource is None or member_of(result.resource) is None:
        return None
    return marked({**result.resource, "id": unit.entity})


def suspended(recorded: Resource, source: Resource) -> Resource:
    """Return a recorded Consent as `source`, a version that cannot be read yet, leaves it.

    It takes the status of `source` where that ends it; in any case it permits nothing.
    """
    status = str(source.get("status"))
    if status == "active":
        return marked(recorded)
    status = _ENDED.get(status, status)
    return marked({**recorded, "status": status if status in _KNOWN_ENDS else "inactive"})


def marked(consent: Resource) -> Resource:
    """Return a Consent with the mark that it permits nothing."""
    others = [
        extension
        for extension in consent.get("modifierExtension", ())
        if extension.get("url") != PROVISIONAL
    ]
    mark = {"url": PROVISIONAL, "valueBoolean": True}
    return {**consent, "modifierExtension": [*others, mark]}
