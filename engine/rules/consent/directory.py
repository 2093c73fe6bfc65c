"""The people and organizations handed in beside the consents, and how they belong together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from msgspec import Struct

from engine.fhir.dates import Interval, covers, overlaps, period
from engine.rules.consent.entry import Entry, entry_of
from engine.rules.consent.parties import EXPANDED, Name
from engine.rules.consent.turns import stretch

T = TypeVar("T")
_MOST_NAMES = 1_000
_NO_KEYS: frozenset[str] = frozenset()


class Party(Struct, frozen=True):
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

    @property
    def reach(self) -> tuple[Any, ...]:
        """Return what tells two parties apart for a rule: names of one party have one reach."""
        words = None if self.keys else self.name.words
        return self.keys, self.possible, self.unresolved, self.member, words


class Directory:
    """Find resources by reference or identifier, as they stand at one moment.

    A resource may be handed in as it is, or as what `entry_of` made of it; neither may change
    afterwards. What was found once is remembered: the answers hold for every other moment at
    which it `stands` too.
    """

    __slots__ = (
        "_at",
        "_by_key",
        "_by_kind",
        "_entries",
        "_once",
        "_parties",
        "_persons",
        "_same",
        "_stands",
        "_zone",
    )

    def __init__(self, resources: Sequence[Any], at: Interval, zone: str) -> None:
        self._at, self._zone = at, zone
        self._entries = [
            one if isinstance(one, Entry) else entry_of(one)
            for one in resources
            if isinstance(one, Entry | dict)
        ]
        self._stands = stretch(at, self.turns())
        self._by_key: dict[str, list[Entry]] = {}
        self._by_kind: dict[str, list[Entry]] = {}
        self._parties: dict[tuple[Name, bool], Party] = {}
        self._once: dict[Hashable, Any] = {}
        self._persons: dict[frozenset[str], frozenset[str]] = {}
        self._same: dict[frozenset[str], frozenset[str]] = {}
        for entry in self._entries:
            self._by_kind.setdefault(entry.kind, []).append(entry)
            for key in entry.keys:
                self._by_key.setdefault(key, []).append(entry)

    def __bool__(self) -> bool:
        return bool(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def stands(self, at: Interval) -> bool:
        """Tell whether everything here would be found alike at another moment."""
        since, until = self._stands
        return since <= at[0] and at[1] <= until

    def turns(self) -> Iterator[int]:
        """Yield where each period of anybody here begins and ends."""
        for given in self._periods():
            yield from period(given, self._zone) or ()

    def _periods(self) -> Iterator[Any]:
        for entry in self._entries:
            if entry.period is not None:
                yield entry.period
            for _, given in entry.members:
                yield given

    def once(self, name: Hashable, read: Callable[[], T]) -> T:
        """Return what is read of the people here under a name, read but once.

        It may depend on who they are, not on the moment.
        """
        known: T | None = self._once.get(name)
        if known is None:
            known = read()
            _keep(self._once, name, known)
        return known

    def of_type(self, name: str) -> Sequence[Entry]:
        """Return the resources of one type."""
        return self._by_kind.get(name, ())

    def found(self, keys: Iterable[str]) -> Iterator[Entry]:
        """Yield each resource that goes by one of the keys."""
        return (entry for key in keys for entry in self._by_key.get(key, ()))

    def holds(self, name: Name) -> bool:
        """Tell whether a resource of that name is here."""
        return not name.keys.isdisjoint(self._by_key)

    def same(self, name: Name) -> frozenset[str]:
        """Return every key of one party: identifiers and references of the same resource."""
        known = self._same.get(name.keys)
        if known is None:
            known = self._closure(name.keys, lambda entry: _NO_KEYS)
            _keep(self._same, name.keys, known)
        return known

    def person(self, name: Name) -> frozenset[str]:
        """Return every key of one patient, over old identifiers and merged records too.

        A link to a RelatedPerson is another person, and so is a Patient born on another day who
        happens to go by the same identifier.
        """
        known = self._persons.get(name.keys)
        if known is None:
            literal = [key for key in name.keys if key[0] != "="]
            born = {entry.born for entry in self.found(literal) if entry.born}
            known = self._closure(name.keys, self._merged, born)
            _keep(self._persons, name.keys, known)
        return known

    def _merged(self, entry: Entry) -> frozenset[str]:
        back = (
            other.keys
            for other in self.of_type("Patient")
            if other.linked and not other.linked.isdisjoint(entry.keys)
        )
        return entry.merged.union(*back)

    def party(self, name: Name, member: bool = False) -> Party:
        """Return a party of the request with everything that it belongs to."""
        known = self._parties.get((name, member))
        if known is None:
            known = self._party(name, member)
            _keep(self._parties, (name, member), known)
        return known

    def _party(self, name: Name, member: bool) -> Party:
        if not self._entries:
            return Party(name, name.keys, name.keys, name.type in EXPANDED, member)
        keys = self._closure(name.keys, self._upward)
        possible = keys | self._roles(keys) | self._down(keys)
        unresolved = name.type in EXPANDED and not self.holds(name)
        return Party(name, keys, possible, unresolved, member)

    def _upward(self, entry: Entry) -> frozenset[str]:
        if not self.in_force(entry):
            return _NO_KEYS
        if entry.kind != "Practitioner":
            return entry.above
        return entry.above.union(*(role.places for role in self._roles_of(entry.keys)))

    def _roles_of(self, keys: frozenset[str]) -> Iterator[Entry]:
        for role in self.of_type("PractitionerRole"):
            if not role.practitioner.isdisjoint(keys) and self.in_force(role):
                yield role

    def _roles(self, keys: frozenset[str]) -> frozenset[str]:
        return _NO_KEYS.union(*(role.keys for role in self._roles_of(keys)))

    def _down(self, keys: frozenset[str]) -> frozenset[str]:
        return frozenset(key for name in self._members(keys, strict=False) for key in name.keys)

    def members(self, keys: Iterable[str], *, strict: bool) -> list[Name]:
        """Return whom a Group or CareTeam stands for, nested ones too.

        `strict` counts only memberships in force for the whole moment; otherwise those that may be.
        """
        return list(self._members(keys, strict))

    def _members(self, keys: Iterable[str], strict: bool) -> Iterator[Name]:
        """Yield members, and theirs, each group and team looked at but once."""
        fresh, seen = list(keys), set[int]()
        while fresh:
            entries = {id(entry): entry for entry in self.found(fresh) if id(entry) not in seen}
            seen.update(entries)
            found = [name for entry in entries.values() for name in self._now_in(entry, strict)]
            yield from found
            fresh = [key for name in found for key in name.keys]

    def _now_in(self, entry: Entry, strict: bool) -> Iterator[Name]:
        if entry.members and self.in_force(entry, strict):
            for name, when in entry.members:
                if self._now(when, strict):
                    yield name

    def in_force(self, entry: Entry, strict: bool = True) -> bool:
        """Tell whether a resource is active at the moment; not strictly: whether it may be."""
        return entry.active and self._now(entry.period, strict)

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
        while fresh:
            found: set[str] = set()
            for key in fresh:
                for entry in self._by_key.get(key, ()):
                    if id(entry) in seen or (born and entry.born and entry.born not in born):
                        continue
                    seen.add(id(entry))
                    found |= entry.keys
                    found |= more(entry)
            fresh = found - known
            known |= fresh
        return frozenset(known)


def _keep(known: dict[Any, Any], name: Any, found: Any) -> None:
    """Remember what was found, and forget the rest before it is too much."""
    if len(known) >= _MOST_NAMES:
        known.clear()
    known[name] = found


class Directories:
    """Keep directories for the decisions to come, by who is in them.

    The very same resources make the same directory as long as it stands; a resource that was
    written anew is another object, hence another directory.
    """

    def __init__(self, most: int = 50_000) -> None:
        self._most = most
        self._held = 0
        self._kept: dict[tuple[Any, ...], tuple[Sequence[Mapping[str, Any]], Directory]] = {}

    def of(
        self,
        resources: Sequence[dict[str, Any]],
        at: Interval,
        zone: str,
        read: Callable[[dict[str, Any]], Entry] = entry_of,
    ) -> Directory:
        """Return the directory of these resources at a moment; `read` makes its entries."""
        name = (zone, *map(id, resources))
        known = self._kept.get(name)
        if known is not None and known[1].stands(at):
            return known[1]
        directory = Directory([read(one) for one in resources], at, zone)
        if self._held + len(resources) > self._most:
            self._kept.clear()
            self._held = 0
        self._held += len(resources)
        self._kept[name] = (tuple(resources), directory)
        return directory
