"""What the stages may look at beside the message: read before they run, handed to each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from engine.message import Resource, Unit
from engine.transform.crosswalk import Links

ACTOR_TYPES = frozenset(
    {
        "Patient",
        "RelatedPerson",
        "Practitioner",
        "PractitionerRole",
        "Organization",
        "CareTeam",
        "Group",
        "Provenance",
    }
)
"""The types that a consent decision looks up: who someone is, belongs to, or has signed."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Hold the stored world as one message sees it.

    `at` is the instant of the decision (RFC 3339); `consents` maps a member's canonical id to the
    canonical Consents on record; `supporting` maps `Type/id` to canonical actors; `local` maps the
    names of the message's own entries to canonical references.
    """

    at: str
    links: Links = field(default_factory=Links)
    consents: Mapping[str, Sequence[Resource]] = field(default_factory=dict)
    supporting: Mapping[str, Resource] = field(default_factory=dict)
    local: Mapping[str, str] = field(default_factory=dict)

    def knowing(self, units: Iterable[Unit]) -> Facts:
        """Return these facts with the canonical consents and actors of the message itself."""
        consents = {member: list(known) for member, known in self.consents.items()}
        supporting = dict(self.supporting)
        for unit in units:
            canonical = unit.canonical
            if canonical is None:
                continue
            if unit.type in ACTOR_TYPES:
                supporting[f"{unit.type}/{unit.entity}"] = canonical
            if unit.type == "Consent" and unit.member:
                others = [
                    known
                    for known in consents.get(unit.member, [])
                    if known.get("id") != unit.entity
                ]
                consents[unit.member] = [*others, canonical]
        return replace(self, consents=consents, supporting=supporting)

    def joined(self, other: Facts) -> Facts:
        """Return what is known here or there."""
        return replace(
            self,
            links=self.links.including(other.links.entities),
            consents={**self.consents, **other.consents},
            supporting={**self.supporting, **other.supporting},
        )
