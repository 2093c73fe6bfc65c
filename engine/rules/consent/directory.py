"""The people and organizations handed in beside the consents, and how they belong together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.fhir.dates import ALWAYS, Interval, covers, overlaps, period
from engine.rules.consent.codings import mappings
from engine.rules.consent.entry import Entry, entry_of, is_active
from engine.rules.consent.parties import EXPANDED, NOBODY, Name, name_of

_HOPS = 8
_NO_KEYS: frozenset[str] = frozenset()


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
    """Find resources by reference or identifier, as they stand at one moment.

    A resource may be handed in as it is, or as what `entry_of` made of it.
    """

    __slots__ = ("_at", "_by_key", "_by_kind", "_entries", "_same", "_zone")

    def __init__(self, resources: Sequence[Any], at: Interval, zone: str) -> None:
        self._at, self._zone = at, zone
        self._entries = [
            one if isinstance(one, Entry) else entry_of(one)
            for one in resources
            if isinstance(one, Entry | dict)
        ]
        self._by_key: dict[str, list[Entry]] = {}
        self._by_kind: dict[str, list[Entry]] = {}
        self._same: dict[frozenset[str], frozenset[str]] = {}
        for entry in self._entries:
            self._by_kind.setdefault(entry.kind, []).append(entry)
            for key in entry.keys:
                self._by_key.setdefault(key, []).append(entry)

    def __bool__(self) -> bool:
        return bool(self._entries)

    def of_type(self, name: str) -> Iterator[Mapping[str, Any]]:
        """Yield the resources of one type."""
        return (entry.resource for entry in self._by_kind.get(name, ()))

    def found(self, keys: Iterable[str]) -> Iterator[Mapping[str, Any]]:
        """Yield each resource that goes by one of the keys."""
        return (entry.resource for key in keys for entry in self._by_key.get(key, ()))

    def holds(self, name: Name) -> bool:
        """Tell whether a resource of that name is here."""
        return not name.keys.isdisjoint(self._by_key)

    def same(self, name: Name) -> frozenset[str]:
        """Return every key of one party: identifiers and references of the same resource."""
        known = self._same.get(name.keys)
        if known is None:
            known = self._same[name.keys] = self._closure(name.keys, lambda entry: _NO_KEYS)
        return known

    def person(self, name: Name) -> frozenset[str]:
        """Return every key of one patient, over old identifiers and merged records too.

        A link to a RelatedPerson is another person, and so is a Patient born on another day who
        happens to go by the same identifier.
        """
        literal = [key for key in name.keys if key[0] != "="]
        born = {entry.born for key in literal for entry in self._by_key.get(key, ()) if entry.born}
        return self._closure(name.keys, self._merged, born)

    def _merged(self, entry: Entry) -> frozenset[str]:
        back = (
            other.keys
            for other in self._by_kind.get("Patient", ())
            if other.linked and not other.linked.isdisjoint(entry.keys)
        )
        return entry.merged.union(*back)

    def party(self, name: Name, member: bool = False) -> Party:
        """Return a party of the request with everything that it belongs to."""
        if not self._entries:
            unresolved = name.type in EXPANDED
            return Party(name, name.keys, name.keys, unresolved, member)
        keys = self._closure(name.keys, self._upward)
        possible = keys | self._roles(keys) | self._down(keys)
        unresolved = name.type in EXPANDED and not self.holds(name)
        return Party(name, keys, possible, unresolved, member)

    def _upward(self, entry: Entry) -> frozenset[str]:
        if not self._is_in_force(entry):
            return _NO_KEYS
        if entry.kind != "Practitioner":
            return entry.above
        return entry.above.union(*(role.places for role in self._roles_of(entry.keys)))

    def _roles_of(self, keys: frozenset[str]) -> Iterator[Entry]:
        for role in self._by_kind.get("PractitionerRole", ()):
            if not role.practitioner.isdisjoint(keys) and self._is_in_force(role):
                yield role

    def _roles(self, keys: frozenset[str]) -> frozenset[str]:
        return _NO_KEYS.union(*(role.keys for role in self._roles_of(keys)))

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
        return is_active(resource) and self._now(resource.get("period"), strict)

    def _is_in_force(self, entry: Entry) -> bool:
        return entry.active and self._now(entry.period, strict=True)

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
        more: Callable[[Entry], frozenset[str]],
        born: Collection[str] = (),
    ) -> frozenset[str]:
        known, fresh = set(keys), set(keys)
        seen: set[int] = set()
        for _ in range(_HOPS):
            found: set[str] = set()
            for key in fresh:
                for entry in self._by_key.get(key, ()):
                    if id(entry) in seen or (born and entry.born and entry.born not in born):
                        continue
                    seen.add(id(entry))
                    found |= entry.keys
                    found |= more(entry)
            fresh = found - known
            if not fresh:
                break
            known |= fresh
        return frozenset(known)


NOBODY_PARTY = Party(NOBODY, frozenset(), frozenset(), True)
EMPTY = Directory((), ALWAYS, "UTC")
