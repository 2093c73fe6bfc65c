"""The people and organizations handed in beside the consents, and how they belong together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.fhir.dates import ALWAYS, Interval, covers, overlaps, period
from engine.rules.consent.codings import mappings
from engine.rules.consent.parties import EXPANDED, NOBODY, Name, identifier_key, name_of

_HOPS = 8
_UPWARD = {
    "Organization": ("partOf",),
    "PractitionerRole": ("practitioner", "organization", "healthcareService"),
    "HealthcareService": ("providedBy",),
    "Location": ("managingOrganization",),
    "Endpoint": ("managingOrganization",),
    "Device": ("owner",),
}
_SAME_PERSON = frozenset({"replaced-by", "replaces", "refer", "seealso"})


@dataclass(frozen=True, slots=True)
class Party:
    """Hold who a party of the request is, as far as the directory tells.

    `keys` name the party and what it belongs to (its organization, the organization's parents);
    `possible` adds what it might act for: enough for a deny, not for a permit. `unresolved` says
    that it stands for others whom nobody here knows.
    """

    name: Name
    keys: frozenset[str]
    possible: frozenset[str]
    unresolved: bool
    member: bool = False


class Directory:
    """Find resources by reference or identifier, as they stand at one moment."""

    __slots__ = ("_at", "_by_key", "_resources", "_zone")

    def __init__(self, resources: Sequence[Any], at: Interval, zone: str) -> None:
        self._at, self._zone = at, zone
        self._resources = [one for one in resources if isinstance(one, dict)]
        self._by_key: dict[str, list[Mapping[str, Any]]] = {}
        for resource in self._resources:
            for key in own_keys(resource):
                self._by_key.setdefault(key, []).append(resource)

    def __bool__(self) -> bool:
        return bool(self._resources)

    def of_type(self, name: str) -> Iterator[Mapping[str, Any]]:
        """Yield the resources of one type."""
        return (one for one in self._resources if one.get("resourceType") == name)

    def found(self, keys: Iterable[str]) -> Iterator[Mapping[str, Any]]:
        """Yield each resource that goes by one of the keys."""
        return (resource for key in keys for resource in self._by_key.get(key, ()))

    def holds(self, name: Name) -> bool:
        """Tell whether a resource of that name is here."""
        return any(key in self._by_key for key in name.keys)

    def same(self, name: Name) -> frozenset[str]:
        """Return every key of one party: identifiers and references of the same resource."""
        return self._closure(name.keys, lambda resource: ())

    def person(self, name: Name) -> frozenset[str]:
        """Return every key of one patient, over old identifiers and merged records too.

        A link to a RelatedPerson is another person, and so is a Patient born on another day who
        happens to go by the same identifier.
        """
        literal = [key for key in name.keys if key[0] != "="]
        born = {str(day) for one in self.found(literal) if (day := one.get("birthDate"))}
        return self._closure(name.keys, self._merged, born)

    def _merged(self, resource: Mapping[str, Any]) -> Iterator[str]:
        if resource.get("resourceType") == "Patient":
            for link in mappings(resource.get("link")):
                other = name_of(link.get("other"))
                if str(link.get("type")) in _SAME_PERSON and other.type != "RelatedPerson":
                    yield from other.keys
        for other_resource in self.of_type("Patient"):
            for link in mappings(other_resource.get("link")):
                other = name_of(link.get("other"))
                if str(link.get("type")) in _SAME_PERSON and other.keys & own_keys(resource):
                    yield from own_keys(other_resource)

    def party(self, name: Name, member: bool = False) -> Party:
        """Return a party of the request with everything that it belongs to."""
        if not self._resources:
            unresolved = name.type in EXPANDED
            return Party(name, name.keys, name.keys, unresolved, member)
        keys = self._closure(name.keys, self._upward)
        possible = keys | self._roles(keys) | self._down(keys)
        unresolved = name.type in EXPANDED and not self.holds(name)
        return Party(name, keys, frozenset(possible), unresolved, member)

    def _upward(self, resource: Mapping[str, Any]) -> Iterator[str]:
        kind = str(resource.get("resourceType"))
        if not self.in_force(resource):
            return
        for element in _UPWARD.get(kind, ()):
            for reference in mappings(resource.get(element)):
                yield from name_of(reference).keys
        if kind == "Practitioner":
            for role in self._roles_of(own_keys(resource)):
                for element in ("organization", "healthcareService"):
                    for reference in mappings(role.get(element)):
                        yield from name_of(reference).keys

    def _roles_of(self, keys: frozenset[str]) -> Iterator[Mapping[str, Any]]:
        for role in self.of_type("PractitionerRole"):
            if self.in_force(role) and name_of(role.get("practitioner")).keys & keys:
                yield role

    def _roles(self, keys: frozenset[str]) -> frozenset[str]:
        return frozenset(key for role in self._roles_of(keys) for key in own_keys(role))

    def _down(self, keys: frozenset[str]) -> frozenset[str]:
        return frozenset(key for name in self._members(keys, 0, strict=False) for key in name.keys)

    def members(self, keys: Iterable[str], *, strict: bool) -> list[Name]:
        """Return whom a Group or CareTeam stands for, nested ones too.

        `strict` counts only memberships in force for the whole moment; otherwise those that may be.
        """
        return list(self._members(keys, 0, strict))

    def _members(self, keys: Iterable[str], hops: int, strict: bool) -> Iterator[Name]:
        if hops > _HOPS:
            return
        for resource in self.found(keys):
            for name in self._direct_members(resource, strict):
                yield name
                yield from self._members(name.keys, hops + 1, strict)

    def _direct_members(self, resource: Mapping[str, Any], strict: bool) -> Iterator[Name]:
        kind = resource.get("resourceType")
        if kind not in ("Group", "CareTeam") or not self.in_force(resource, strict):
            return
        element, who = ("member", "entity") if kind == "Group" else ("participant", "member")
        for entry in mappings(resource.get(element)):
            if entry.get("inactive") is not True and self._now(entry.get("period"), strict):
                yield name_of(entry.get(who))

    def in_force(self, resource: Mapping[str, Any], strict: bool = True) -> bool:
        """Tell whether a resource is active at the moment; not strictly: whether it may be."""
        if resource.get("active") is False or resource.get("actual") is False:
            return False
        if resource.get("status") in ("entered-in-error", "inactive", "suspended", "off"):
            return False
        return self._now(resource.get("period"), strict)

    def before(self, day: int) -> bool:
        """Tell whether the moment lies before a point of the time line."""
        return self._at[1] <= day

    def _now(self, given: Any, strict: bool) -> bool:
        if given is None:
            return True
        found = period(given, self._zone)
        if found is None:
            return not strict
        return covers(found, self._at) if strict else overlaps(found, self._at)

    def _closure(
        self,
        keys: frozenset[str],
        more: Callable[[Mapping[str, Any]], Iterable[str]],
        born: Collection[Any] = (),
    ) -> frozenset[str]:
        known, fresh = set(keys), set(keys)
        for _ in range(_HOPS):
            found: set[str] = set()
            for resource in self.found(fresh):
                if born and (day := resource.get("birthDate")) and str(day) not in born:
                    continue
                found |= own_keys(resource)
                found.update(more(resource))
            fresh = found - known
            if not fresh:
                break
            known |= fresh
        return frozenset(known)


def own_keys(resource: Mapping[str, Any]) -> frozenset[str]:
    """Return the keys that a resource goes by: `Type/id` and its identifiers, old ones too."""
    keys = {key for key in map(identifier_key, mappings(resource.get("identifier"))) if key}
    if isinstance(resource.get("resourceType"), str) and isinstance(resource.get("id"), str):
        keys.add(f"{resource['resourceType']}/{resource['id']}")
    return frozenset(keys)


NOBODY_PARTY = Party(NOBODY, frozenset(), frozenset(), True)
EMPTY = Directory((), ALWAYS, "UTC")
