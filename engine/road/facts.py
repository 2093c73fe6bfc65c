"""What the stages may look at beside the message: read before they run, handed to each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct, field
from msgspec.structs import replace

from engine.fhir.references import literals_in
from engine.message import Resource, Unit
from engine.transform.crosswalk import Links, literal

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


class Recorded(Struct, frozen=True):
    """Hold a canonical resource as it is on record, and the system that wrote it last."""

    resource: Resource
    system: str


class Facts(Struct, frozen=True):
    """Hold the stored world as one message sees it.

    `at` is the instant of the decision (RFC 3339); `consents` maps a member's canonical id to the
    canonical Consents on record; `supporting` maps `Type/id` to canonical actors, `content` to what
    else is referred to; `local` maps the names of the message's own entries to canonical
    references; `own_work` maps what the engine wrote for the sender's own people to the systems
    that were told of it. `wholes` maps `Type/id` to what is on record of resources that some system
    keeps as siblings, and `received` is when the message came, where that matters to them.
    `before` maps `Type/id` to versions on record in which something is carried. `turns` is the
    first time of day after `at` (microseconds since 1970) that a Consent or actor speaks of, None
    where nobody looked.
    """

    at: str
    links: Links = field(default_factory=Links)
    consents: Mapping[str, Sequence[Resource]] = field(default_factory=dict)
    supporting: Mapping[str, Resource] = field(default_factory=dict)
    content: Mapping[str, Resource] = field(default_factory=dict)
    local: Mapping[str, str] = field(default_factory=dict)
    own_work: Mapping[str, frozenset[str]] = field(default_factory=dict)
    wholes: Mapping[str, Recorded] = field(default_factory=dict)
    received: str = ""
    before: Mapping[str, Resource] = field(default_factory=dict)
    turns: int | None = None

    def told_by(self, resource: Resource) -> tuple[Resource, ...]:
        """Return the actors, and of the content what `resource` itself refers to."""
        referred = (self.content.get(target) for target in targets_of(resource))
        return (*self.supporting.values(), *(found for found in referred if found is not None))

    def library(self, resource: Resource) -> Known:
        """Return what `told_by` returns, looked up only as far as it is asked for."""
        return Known(self, resource)

    def knowing(self, units: Iterable[Unit]) -> Facts:
        """Return these facts with the canonical consents and actors of the message itself."""
        consents: dict[str, Sequence[Resource]] = {}
        supporting: dict[str, Resource] = {}
        content: dict[str, Resource] = {}
        for unit in units:
            canonical = unit.canonical or unit.provisional
            if canonical is None:
                continue
            if unit.type in ACTOR_TYPES:
                supporting[f"{unit.type}/{unit.entity}"] = canonical
            else:
                content[f"{unit.type}/{unit.entity}"] = canonical
            if unit.type == "Consent" and (member := unit.member):
                before = consents.get(member) or self.consents.get(member, ())
                others = (known for known in before if known.get("id") != unit.entity)
                consents[member] = [*others, _unversioned(canonical)]
        return replace(
            self,
            consents={**self.consents, **consents} if consents else self.consents,
            supporting={**self.supporting, **supporting} if supporting else self.supporting,
            content={**self.content, **content} if content else self.content,
        )

    def joined(self, other: Facts) -> Facts:
        """Return what is known here or there."""
        return replace(
            self,
            links=self.links.including(other.links.entities),
            consents={**self.consents, **other.consents},
            supporting={**self.supporting, **other.supporting},
            content={**self.content, **other.content},
        )


class Known(Struct, frozen=True):
    """Be the library of what the facts tell to one resource (`engine.rules.content.Library`)."""

    facts: Facts
    resource: Resource

    def named(self, name: str) -> Resource | None:
        return self.facts.supporting.get(name) or self.facts.content.get(name)

    def all(self) -> Sequence[Resource]:
        return self.facts.told_by(self.resource)


def _unversioned(consent: Resource) -> Resource:
    """Return a Consent without the version that its sender gave it: the record gives its own."""
    meta = consent.get("meta")
    if not isinstance(meta, dict):
        return consent
    own = ("versionId", "lastUpdated")
    return {**consent, "meta": {name: part for name, part in meta.items() if name not in own}}


def targets_of(resource: Resource) -> Iterator[str]:
    """Yield the canonical references `Type/id` of a canonical resource."""
    for target in literals_in(resource):
        found = literal(target)
        if found and found.base is None:
            yield found.local
