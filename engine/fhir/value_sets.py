"""The codes of value sets, as far as the loaded folders can list them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Pair = tuple[str, str]


class ValueSets:
    """Hold ValueSet and CodeSystem resources by URL and list their codes once."""

    def __init__(self) -> None:
        self._sets: dict[str, Mapping[str, Any]] = {}
        self._systems: dict[str, Mapping[str, Any]] = {}
        self._listed: dict[str, frozenset[Pair] | None] = {}

    def add(self, resource: Mapping[str, Any]) -> None:
        """Take in a ValueSet or CodeSystem; others are passed over."""
        place = {"ValueSet": self._sets, "CodeSystem": self._systems}.get(
            str(resource.get("resourceType"))
        )
        url = resource.get("url")
        if place is not None and isinstance(url, str):
            place.setdefault(url, resource)

    def codes(self, url: str) -> frozenset[Pair] | None:
        """Return (system, code) of every code of a value set, or None where it cannot be listed."""
        url = url.split("|", 1)[0]
        if url not in self._listed:
            self._listed[url] = None  # a value set that includes itself cannot be listed
            self._listed[url] = self._list(url)
        return self._listed[url]

    def _list(self, url: str) -> frozenset[Pair] | None:
        found = self._sets.get(url)
        if found is None:
            return None
        compose = found.get("compose")
        if not isinstance(compose, dict):
            return frozenset(_expanded(found)) or None
        pairs: set[Pair] = set()
        for include in compose.get("include", ()):
            more = self._included(include)
            if more is None:
                return frozenset(_expanded(found)) or None
            pairs |= more
        for exclude in compose.get("exclude", ()):
            pairs -= self._included(exclude) or set()
        return frozenset(pairs)

    def _included(self, include: Mapping[str, Any]) -> set[Pair] | None:
        if include.get("filter"):
            return None
        system = str(include.get("system", ""))
        if "concept" in include:
            return {(system, str(concept.get("code"))) for concept in include["concept"]}
        if include.get("valueSet"):
            lists = [self.codes(str(url)) for url in include["valueSet"]]
            known = [codes for codes in lists if codes is not None]
            return set().union(*known) if len(known) == len(lists) and not system else None
        whole = self._systems.get(system)
        if whole is None or whole.get("content") != "complete":
            return None
        return {(system, code) for code in _concepts(whole.get("concept", ()))}


def _concepts(concepts: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for concept in concepts:
        yield str(concept.get("code"))
        yield from _concepts(concept.get("concept", ()))


def _expanded(value_set: Mapping[str, Any]) -> Iterator[Pair]:
    expansion = value_set.get("expansion")
    if isinstance(expansion, dict):
        yield from _contains(expansion.get("contains", ()))


def _contains(items: Iterable[Mapping[str, Any]]) -> Iterator[Pair]:
    for item in items:
        if "code" in item and not item.get("abstract"):
            yield str(item.get("system", "")), str(item["code"])
        yield from _contains(item.get("contains", ()))
