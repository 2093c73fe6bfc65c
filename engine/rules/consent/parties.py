"""Who is meant: references and identifiers as keys, so that two names of one party can meet."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from msgspec import Struct

from engine.rules.consent.codings import key_of, listed, mappings, spelling

_LITERAL = re.compile(r"(?:(https?)://(.+)/)?([A-Z][A-Za-z]+)/([A-Za-z0-9\-._|]+)")
_HISTORY = re.compile(r"/_history/[^/]*$")
_SHARED = frozenset({"SN", "GI", "AN", "XX"})

EXPANDED = frozenset({"Group", "CareTeam", "PractitionerRole", "HealthcareService"})
"""Types that stand for others: without the resource nobody knows for whom."""


@lru_cache(maxsize=8192)
def literal_key(reference: str) -> str:
    """Return the key of a literal reference: without version, without trailing slash."""
    plain = _HISTORY.sub("", reference.strip()).rstrip("/")
    return "http://" + plain[8:] if plain.startswith("https://") else plain


@lru_cache(maxsize=8192)
def literal_parts(key: str) -> tuple[str, str, str] | None:
    """Return base ("" where relative), type and id of a literal key; None for other shapes."""
    found = _LITERAL.fullmatch(key)
    return (found[2] or "", found[3], found[4]) if found else None


def identifier_key(identifier: Any) -> str | None:
    """Return the key of an Identifier, or None where it cannot tell one party from another.

    Subscriber, guarantor and account numbers are shared in a family: they identify nobody.
    """
    if not isinstance(identifier, dict):
        return None
    value, system = identifier.get("value"), identifier.get("system")
    if not isinstance(value, str):
        return None
    kind = identifier.get("type")
    if isinstance(kind, dict):
        shared = [key for key in map(key_of, mappings(kind.get("coding"))) if key]
        if any(key.code in _SHARED for key in shared):
            return None
    return _identifier_key(system if isinstance(system, str) else "", value)


@lru_cache(maxsize=8192)
def _identifier_key(system: str, value: str) -> str | None:
    plain = value.strip()
    return f"={spelling(system)}|{plain}" if plain else None


_NO_KEYS: frozenset[str] = frozenset()


class Name(Struct, frozen=True):
    """Hold how one Reference names a party.

    `keys` are literal references (`Organization/a`) and identifiers (`=system|value`); `words` is
    what it says to people, used only where there are no keys; `type` its resource type.
    """

    keys: frozenset[str]
    words: str | None = None
    type: str | None = None

    @property
    def shown(self) -> str:
        """Return the name for the record: a key where there is one."""
        return min(self.keys, key=lambda key: (key.startswith("="), key), default="") or "unnamed"


NOBODY = Name(frozenset())


def name_of(given: Any, type_name: str | None = None) -> Name:
    """Read a Reference, an actor (`{role, reference}`), an Identifier, or a text, as a Name."""
    if isinstance(given, str):
        return _name_of_text(given, type_name)
    if not isinstance(given, dict):
        return NOBODY
    literal = given.get("reference")
    if isinstance(literal, dict):
        return name_of(literal, type_name)
    keys = _identifier_keys(given) if "identifier" in given or literal is None else _NO_KEYS
    words, stated = given.get("display"), given.get("type")
    words = words if isinstance(words, str) else None
    stated = stated if isinstance(stated, str) else None
    if isinstance(literal, str) and literal.strip():
        return _name_of_reference(literal, keys, words, stated, type_name)
    kind = type_name if stated is None else stated.rsplit("/", 1)[-1]
    if isinstance(given.get("resourceType"), str) and isinstance(given.get("id"), str):
        kind = given["resourceType"]
        keys = keys | {f"{kind}/{given['id']}"}
    return Name(keys, words.strip() if words is not None else None, kind)


def _identifier_keys(given: Mapping[str, Any]) -> frozenset[str]:
    """Return the keys of the identifiers of a Reference, or of an Identifier itself."""
    stated = given.get("identifier", given)
    if isinstance(stated, dict):
        key = identifier_key(stated)
        return frozenset((key,)) if key else _NO_KEYS
    return frozenset([key for key in map(identifier_key, listed(stated)) if key])


@lru_cache(maxsize=8192)
def _name_of_reference(
    literal: str,
    keys: frozenset[str],
    words: str | None,
    stated: str | None,
    type_name: str | None,
) -> Name:
    kind = type_name if stated is None else stated.rsplit("/", 1)[-1]
    named = _name_of_text(literal, kind)
    said = words or named.words
    return Name(keys | named.keys, said.strip() if said else None, named.type or kind)


@lru_cache(maxsize=8192)
def _name_of_text(text: str, type_name: str | None) -> Name:
    plain = text.strip()
    head, query, rest = plain.partition("?identifier=")
    if query:
        system, _, value = rest.rpartition("|")
        key = identifier_key({"system": system, "value": value})
        return Name(frozenset({key} if key else ()), None, head.rsplit("/", 1)[-1])
    key = literal_key(plain)
    if parts := literal_parts(key):
        return Name(frozenset({key}), None, parts[1])
    if ":" in plain or plain.startswith("#"):
        return Name(frozenset({key}), None, type_name)
    if type_name and re.fullmatch(r"[A-Za-z0-9\-.]{1,64}", plain):
        return Name(frozenset({f"{type_name}/{plain}"}), None, type_name)
    return Name(frozenset(), plain or None, type_name)


def joined(names: Iterable[Name]) -> Name:
    """Return one Name that goes by everything that the given ones go by."""
    every = list(names)
    if len(every) == 1:
        return every[0]
    return Name(
        frozenset().union(*(name.keys for name in every)),
        next((name.words for name in every if name.words), None),
        next((name.type for name in every if name.type), None),
    )


@lru_cache(maxsize=4096)
def comparable(one: frozenset[str], other: frozenset[str]) -> bool:
    """Tell whether two names without a common key are known to be two parties.

    They are where both have a literal reference of the same kind of address, or identifiers of
    one system; a relative and an absolute reference that end alike may be the same.
    """
    if not one or not other:
        return False
    if _systems(one) & _systems(other):
        return True
    ours, theirs = list(_literals(one)), list(_literals(other))
    if not ours or not theirs:
        return False
    return not any(
        mine[1:] == yours[1:] and (not mine[0] or not yours[0]) for mine in ours for yours in theirs
    )


def _systems(keys: frozenset[str]) -> set[str]:
    return {key.partition("|")[0] for key in keys if key[0] == "="}


def _literals(keys: frozenset[str]) -> Iterator[tuple[str, str, str]]:
    for key in keys:
        if key[0] != "=":
            yield literal_parts(key) or (key, "", "")
