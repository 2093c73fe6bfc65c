"""What reviews know already: versions of resources as they were read, and what was found last.

A version of a resource never changes, so it is decoded, and searched for references, once. What was
found of a record holds for the same record a moment later: so a review can be made ahead of the
turn that writes it down (`engine.ahead`), and is made once by whoever comes first.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from engine.ahead import FRESH
from engine.clock import seconds_between
from engine.fhir.references import literals_in, renamed
from engine.message import Resource
from engine.rules.finding import Finding
from engine.transform.crosswalk import IDENTITY_TYPES, Literal, literal

MOST_BYTES = 4_000_000
"""Of how many bytes of JSON the trees are kept; as trees they take some eight times as many."""

MOST_FOUND = 128
"""Of how many records it is kept how they read, and what was found: soon they are others."""

Names = Mapping[str, str]
"""References that are to be read otherwise than they were written."""


class Version(NamedTuple):
    """Tell one version of a resource from every other: `at` is when it came on record."""

    type: str
    id: str
    number: int
    at: str


@dataclass(frozen=True, slots=True)
class Studied:
    """Hold one version of a resource with what it refers to; it is shared: nobody may change it.

    `system` wrote it. `local` are its canonical references as they are written, `absolute` those
    into somebody's server, `people` the `Type/id` of the people and organizations that it names.
    """

    version: Version
    system: str
    resource: Resource
    local: Mapping[str, Literal]
    absolute: Mapping[str, Literal]
    people: frozenset[str]

    @classmethod
    def of(cls, version: Version, system: str, resource: Resource, texts: Iterable[str]) -> Studied:
        """Sort what a resource refers to; `texts` are its literals."""
        read = {text: found for text in texts if (found := literal(text))}
        local = {text: found for text, found in read.items() if found.base is None}
        absolute = {text: found for text, found in read.items() if found.base is not None}
        return cls(version, system, resource, local, absolute, _people(local.values()))

    def naming(self, names: Names) -> Studied:
        """Return the resource as it reads under other names."""
        if names.keys().isdisjoint(self.local) and names.keys().isdisjoint(self.absolute):
            return self
        resource = renamed(self.resource, names)
        return Studied.of(self.version, self.system, resource, literals_in(resource))


def _people(literals: Iterable[Literal]) -> frozenset[str]:
    return frozenset(one.local for one in literals if one.type in IDENTITY_TYPES)


class Studies:
    """Keep what was studied, for the one thread that writes."""

    def __init__(self, most: int = MOST_BYTES) -> None:
        self._most = most
        self._held = 0
        self._studied: dict[tuple[str, str], tuple[Studied, int]] = {}
        self._found: dict[Hashable, tuple[object, str, Sequence[Finding]]] = {}
        self._records: dict[str, Any] = {}

    def get(self, version: Version) -> Studied | None:
        """Return a version that was studied before."""
        kept = self._studied.get((version.type, version.id))
        return kept[0] if kept is not None and kept[0].version == version else None

    def keep(self, studied: Studied, size: int) -> None:
        """Keep a version instead of the one before it; `size` is that of its JSON, in bytes."""
        name = (studied.version.type, studied.version.id)
        self._drop(name)
        self._studied[name] = (studied, size)
        self._held += size
        while self._held > self._most:
            self._drop(next(iter(self._studied)))
            self._records.clear()  # they hold the trees that are to make room

    def _drop(self, name: tuple[str, str]) -> None:
        _, size = self._studied.pop(name, (None, 0))
        self._held -= size

    def record(self, member: str) -> Any | None:
        """Return what was kept of a member's record; whether it still holds is for who kept it."""
        return self._records.get(member)

    def keep_record(self, member: str, record: object) -> None:
        """Keep a member's record, with what tells whether it still holds."""
        if len(self._records) >= MOST_FOUND:
            self._records.clear()
        self._records[member] = record

    def findings(
        self, stamp: Hashable, project: object, at: str, find: Callable[[str], Sequence[Finding]]
    ) -> Sequence[Finding]:
        """Return what was found of the same record a moment ago, or `find` it now.

        `stamp` names all that the record consists of; under None nobody knows, and nothing is kept.
        """
        if stamp is None:
            return find(at)
        kept = self._found.get(stamp)
        if kept is not None and kept[0] is project and 0 <= seconds_between(kept[1], at) <= FRESH:
            return kept[2]
        if len(self._found) >= MOST_FOUND:
            self._found.clear()
        found = find(at)
        self._found[stamp] = (project, at, found)
        return found
