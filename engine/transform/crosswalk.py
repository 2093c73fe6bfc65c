"""Identity between systems: which references and identifiers mean the same entity.

An entity is one member, person, organization or other resource as the engine knows it; its id is
the canonical id. This module only computes: the links it looks at were read before, the links it
finds are written afterwards.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from msgspec import Struct, field

from engine.message import Resource
from engine.transform.references import Unresolved

IDENTITY_TYPES = frozenset(
    {"Patient", "RelatedPerson", "Practitioner", "PractitionerRole", "Organization"}
)
"""The types whose references must be known before a resource may pass."""

SIBLING = "https://carelane.example/fhir/StructureDefinition/sibling"
"""The extension of a canonical reference to a whole: which sibling of which system was meant."""

_LITERAL = re.compile(
    r"(?:(?P<base>https?://[^?#\s]+)/)?(?P<type>[A-Z][A-Za-z]{2,40})/"
    r"(?P<id>[A-Za-z0-9\-._]{1,64})(?:/_history/(?P<version>[A-Za-z0-9\-.]{1,64}))?"
)
_CONDITIONAL = re.compile(r"(?:https?://[^?#\s]+/)?(?P<type>[A-Z][A-Za-z]{2,40})\?(?P<query>\S+)")
_MOST_READ = 20_000
_LONGEST_READ = 200


class Key(NamedTuple):
    """Name one way to point at an entity.

    `kind` is `reference` (value `Patient/123`, local to `system`) or `identifier` (value
    `Patient|http://mrn.example|A1`; `system` is empty, as it holds everywhere).
    """

    system: str
    kind: str
    value: str

    def __str__(self) -> str:
        return f"{self.system}|{self.kind}|{self.value}"

    @classmethod
    def parse(cls, text: str) -> Key:
        """Read what `str` wrote."""
        system, kind, value = text.split("|", 2)
        return cls(system, kind, value)

    @property
    def type(self) -> str:
        """Return the resource type of what is pointed at."""
        return self.value.partition("/" if self.kind == "reference" else "|")[0]


class Literal(Struct, frozen=True):
    """Hold the parts of a literal reference."""

    base: str | None
    type: str
    id: str
    version: str | None

    @property
    def local(self) -> str:
        return f"{self.type}/{self.id}"


def literal(reference: str) -> Literal | None:
    """Split `[base/]Type/id[/_history/v]` (http://hl7.org/fhir/R4/references.html#literal)."""
    return _known_literal(reference) if len(reference) <= _LONGEST_READ else _split(reference)


def _split(reference: str) -> Literal | None:
    found = _LITERAL.fullmatch(reference)
    return Literal(found["base"], found["type"], found["id"], found["version"]) if found else None


_known_literal = lru_cache(maxsize=_MOST_READ)(_split)


def reference_key(system: str, local: str) -> Key:
    """Return the key of a reference that is local to one system."""
    return Key(system, "reference", local)


def identifier_key(type_name: str, identifier: Any) -> Key | None:
    """Return the key of an Identifier, or None where it lacks a system or value."""
    if not isinstance(identifier, dict):
        return None
    system, value = identifier.get("system"), identifier.get("value")
    if not (isinstance(system, str) and isinstance(value, str) and system and value):
        return None
    return Key("", "identifier", f"{type_name}|{system}|{value}")


def conditional_key(reference: str) -> Key | None:
    """Return the key of a conditional reference `Type?identifier=system|value`, else None."""
    found = _CONDITIONAL.fullmatch(reference)
    if not found:
        return None
    for name, token in parse_qsl(found["query"], max_num_fields=20):
        system, bar, value = token.partition("|")
        if name == "identifier" and bar:
            return identifier_key(found["type"], {"system": system, "value": value})
    return None


def new_entity(key: Key) -> str:
    """Return the canonical id that `key` founds: the same for the same key, on every machine."""
    return hashlib.sha256(str(key).encode()).hexdigest()[:32]


class Naming(Struct, frozen=True, eq=False):
    """Say how the identifiers of a project name things.

    `shared` holds the identifier systems that prove identity (NPI, member ids, record numbers);
    others are data. `bases` gives the base URL of each system.
    """

    shared: frozenset[str]
    bases: Mapping[str, str]
    _read: dict[tuple[str, str], tuple[Key, ...]] = field(default_factory=dict)

    def identifiers(self, type_name: str, resource: Resource) -> Iterator[Key]:
        """Yield the keys of the identifiers that prove who or what the resource is."""
        listed = resource.get("identifier")
        for identifier in listed if isinstance(listed, list) else [listed]:
            if self._proves(identifier) and (key := identifier_key(type_name, identifier)):
                yield key

    def _proves(self, identifier: Any) -> bool:
        """Tell whether an Identifier is of a system that proves identity."""
        system = identifier.get("system") if isinstance(identifier, dict) else None
        return isinstance(system, str) and system in self.shared

    def own_keys(self, system: str, resource: Resource) -> list[Key]:
        """Return what points at the resource itself: identifiers first, then its own id."""
        type_name = resource["resourceType"]
        keys = list(self.identifiers(type_name, resource))
        if isinstance(resource.get("id"), str):
            keys.append(reference_key(system, f"{type_name}/{resource['id']}"))
        return keys

    def reference_keys(self, system: str, reference: Mapping[str, Any]) -> Sequence[Key]:
        """Return what may resolve a Reference written by `system`, surest first."""
        target = reference.get("reference")
        keys = self._target_keys(system, target) if isinstance(target, str) else ()
        identifier = reference.get("identifier")
        if identifier is None or not self._proves(identifier):
            return keys
        type_name = keys[0].type if keys else reference.get("type")
        key = identifier_key(type_name, identifier) if isinstance(type_name, str) else None
        return (*keys, key) if key else keys

    def _target_keys(self, system: str, target: str) -> tuple[Key, ...]:
        """Return what the literal of a Reference means; the same people are named every day."""
        known = self._read.get((system, target))
        if known is None:
            known = tuple(self._keys_read(system, target))
            if len(target) <= _LONGEST_READ:
                if len(self._read) >= _MOST_READ:
                    self._read.clear()
                self._read[system, target] = known
        return known

    def _keys_read(self, system: str, target: str) -> Iterator[Key]:
        if found := literal(target):
            yield self._literal_key(system, found)
        elif key := conditional_key(target):
            yield key

    def _literal_key(self, system: str, found: Literal) -> Key:
        if found.base is None:
            return reference_key(system, found.local)
        for name, base in self.bases.items():
            if found.base == base:
                return reference_key(name, found.local)
        return Key("", "absolute", f"{found.base}/{found.local}")


class Links(Struct, frozen=True):
    """Hold the links read for one message.

    `entities` maps a key to the entity it points at; `known` maps an entity to all keys that point
    at it, for the way out.
    """

    entities: Mapping[Key, str] = field(default_factory=dict)
    known: Mapping[str, Sequence[Key]] = field(default_factory=dict)

    def including(self, found: Mapping[Key, str]) -> Links:
        """Return these links together with `found`."""
        known = dict(self.known)
        for key, entity in found.items():
            keys = known.get(entity, ())
            if key not in keys:
                known[entity] = [*keys, key]
        return Links({**self.entities, **found}, known)


class Identified(Struct, frozen=True):
    """Say which entity a resource is; `conflict` lists the entities where keys disagree."""

    entity: str
    links: Mapping[Key, str]
    conflict: tuple[str, ...] = ()


def identify(keys: Sequence[Key], entities: Mapping[Key, str], fallback: Key) -> Identified:
    """Find the entity that `keys` point at, or found a new one (by `fallback` without any key)."""
    found = dict.fromkeys(entities[key] for key in keys if key in entities)
    if len(found) > 1:
        return Identified(next(iter(found)), {}, tuple(found))
    entity = next(iter(found), None) or new_entity(keys[0] if keys else fallback)
    return Identified(entity, {key: entity for key in keys if key not in entities})


class SystemCrosswalk(Struct, frozen=True, eq=False):
    """Rewrite references between one system and canonical (`engine.transform.references`).

    `local` maps what the entries of the message at hand are called (fullUrl, `Type/id`) to their
    canonical reference. `siblings` are the types of which the system keeps siblings.
    """

    system: str
    naming: Naming
    links: Links
    local: Mapping[str, str] = field(default_factory=dict)
    siblings: frozenset[str] = frozenset()
    _arriving: dict[str, str] = field(default_factory=dict)
    _leaving: dict[str, str] = field(default_factory=dict)

    def to_canonical(
        self, reference: dict[str, Any], targets: frozenset[str]
    ) -> dict[str, Any] | Unresolved:
        """Return the reference with its canonical target; data beside it stays.

        One to a sibling means the whole that it is part of, and is marked with the sibling meant.
        """
        made = _remembered(self._arriving, reference, self._to_canonical)
        return self._marked(reference, made) if self.siblings else made

    def literal_to_canonical(self, literal: str) -> str | None:
        """Return the canonical literal of one that is known, where no mark goes with it."""
        if self.siblings:
            return None
        known = self._arriving.get(literal)
        if known is None and (known := self._entry(literal)):
            self._arriving[literal] = known
        return known

    def _entry(self, target: str) -> str | None:
        """Return the canonical literal of an entry of the message, or of what it refers to."""
        if entry := self.local.get(target):
            return entry
        entity = self._known(target)
        return f"{target.partition('/')[0]}/{entity}" if entity else None

    def _marked(
        self, reference: dict[str, Any], made: dict[str, Any] | Unresolved
    ) -> dict[str, Any] | Unresolved:
        target = reference.get("reference")
        found = literal(target) if isinstance(target, str) else None
        if found is None or found.type not in self.siblings or isinstance(made, Unresolved):
            return made
        now = literal(str(made.get("reference")))
        if now is None or now.base is not None:
            return made
        mark = {"url": SIBLING, "valueString": f"{self.system}|{found.id}"}
        others = [one for one in made.get("extension", ()) if one.get("url") != SIBLING]
        return {**made, "extension": [*others, mark]}

    def _to_canonical(self, reference: dict[str, Any]) -> dict[str, Any] | Unresolved:
        target = reference.get("reference")
        if isinstance(target, str):
            if target.startswith("#"):
                return dict(reference)
            if entry := self._entry(target):
                return {**reference, "reference": entry}
        keys = self.naming.reference_keys(self.system, reference)
        for key in keys:
            if entity := self.links.entities.get(key):
                return {**reference, "reference": f"{key.type}/{entity}"}
        return self._unknown(reference, keys)

    def _known(self, target: str) -> str | None:
        """Return the entity of a relative reference without version, as nearly all are."""
        if ":" in target:
            return None
        return self.links.entities.get(Key(self.system, "reference", target))

    def _unknown(
        self, reference: dict[str, Any], keys: Sequence[Key]
    ) -> dict[str, Any] | Unresolved:
        target = reference.get("reference")
        if not isinstance(target, str):
            if keys and keys[0].type == "Patient":
                return Unresolved(str(keys[0]), "no member is known by this identifier")
            return dict(reference)
        if not keys:
            if target.startswith("urn:"):
                return Unresolved(
                    str(reference_key(self.system, target)), "no entry has this fullUrl"
                )
            return dict(reference)
        key = keys[0]
        if key.kind == "identifier":
            return self._logical(reference, key)
        if key.type in IDENTITY_TYPES and key.system:
            return Unresolved(str(key), f"{self.system} has sent no such {key.type}")
        if key.system == self.system and (found := literal(target)) and found.base is None:
            return {**reference, "reference": f"{self.naming.bases[self.system]}/{target}"}
        return dict(reference)

    def _logical(self, reference: dict[str, Any], key: Key) -> dict[str, Any] | Unresolved:
        if key.type == "Patient":
            return Unresolved(str(key), "no member is known by this identifier")
        type_name, system, value = key.value.split("|", 2)
        rest = {name: part for name, part in reference.items() if name != "reference"}
        return {**rest, "type": type_name, "identifier": {"system": system, "value": value}}

    def to_dialect(
        self, reference: dict[str, Any], targets: frozenset[str]
    ) -> dict[str, Any] | Unresolved:
        """Return the reference as this system knows its target: by its own id, else identifier."""
        return _remembered(self._leaving, reference, self._to_dialect)

    def literal_to_dialect(self, literal: str) -> str | None:
        """Return the literal by which the system itself knows an entity, if it does."""
        known = self._leaving.get(literal)
        if known is None:
            type_name, _, entity = literal.partition("/")
            known = self._own_name(type_name, self.links.known.get(entity, ()))
            if known is not None:
                self._leaving[literal] = known
        return known

    def _own_name(self, type_name: str, keys: Sequence[Key]) -> str | None:
        """Return the local reference under which the system knows what the keys point at."""
        for key in keys:
            if key.system == self.system and key.kind == "reference" and key.type == type_name:
                return key.value
        return None

    def _to_dialect(self, reference: dict[str, Any]) -> dict[str, Any] | Unresolved:
        target = reference.get("reference")
        found = literal(target) if isinstance(target, str) else None
        if found is None:
            return dict(reference)
        if found.base is not None:
            own = self.naming.bases.get(self.system)
            if found.base == own:
                return {**reference, "reference": found.local}
            return dict(reference)
        keys = self.links.known.get(found.id, ())
        if own := self._own_name(found.type, keys):
            return {**reference, "reference": own}
        for key in keys:
            if key.kind == "identifier" and key.type == found.type:
                _, system, value = key.value.split("|", 2)
                rest = {name: part for name, part in reference.items() if name != "reference"}
                return {
                    **rest,
                    "type": found.type,
                    "identifier": rest.get("identifier") or {"system": system, "value": value},
                }
        return self._untold(reference, found, keys)

    def _untold(
        self, reference: dict[str, Any], found: Literal, keys: Sequence[Key]
    ) -> dict[str, Any] | Unresolved:
        if found.type in IDENTITY_TYPES:
            waits = str(reference_key(self.system, f"{found.type}/{found.id}"))
            return Unresolved(waits, f"{self.system} does not know this {found.type}")
        for key in keys:
            if key.kind == "reference" and key.type == found.type:
                base = self.naming.bases.get(key.system)
                return {**reference, "reference": f"{base}/{key.value}" if base else key.value}
        return dict(reference)


def _remembered(
    memory: dict[str, str],
    reference: dict[str, Any],
    rewrite: Callable[[dict[str, Any]], dict[str, Any] | Unresolved],
) -> dict[str, Any] | Unresolved:
    """Rewrite a reference; one whose target alone decides is worked out once per message."""
    target = reference.get("reference")
    if not isinstance(target, str) or "identifier" in reference:
        return rewrite(reference)
    if target in memory:
        return {**reference, "reference": memory[target]}
    rewritten = rewrite(reference)
    if not isinstance(rewritten, Unresolved) and "identifier" not in rewritten:
        memory[target] = rewritten["reference"]
    return rewritten


def waiting_keys(unresolved: Iterable[Unresolved]) -> tuple[str, ...]:
    """Return the keys whose linking would resolve what is unresolved, each once."""
    return tuple(dict.fromkeys(one.key for one in unresolved))
