"""How one element of siblings becomes one of the whole, and what of it each sibling is given."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

from engine.fhir.dates import interval
from engine.fhir.json import dumps
from engine.transform.home import is_ours
from engine.transform.mapping import Merging

LABELS = ("security", "tag")
"""What of `meta` is about content, so that it holds for the whole as for its siblings."""

EVERY_SIBLING = frozenset({"agree", "common", "union", "widest", "first"})
"""Words by which a sibling says the same as the whole, unless it remembers something of its own."""


def joined(word: Merging, values: Sequence[Any], rest: Any) -> Any:
    """Return the whole's element from the siblings' (None is absent) and what only it says."""
    match word.word:
        case "own":
            return rest
        case "collect":
            return [*(rest or ()), *_beyond(rest or [], values)] or None
        case "labels":
            return _labels(values, rest)
        case _ if all(value == values[0] for value in values[1:]):
            return values[0] if values else None
        case "union":
            return _distinct(values)
        case "widest":
            return _widest(values)
        case "first":
            ranks = {name.text: rank for rank, name in enumerate(word.codes)}
            found = [value for value in values if value is not None]
            return min(found, key=lambda code: ranks.get(code, len(ranks)))
    return None


def given(word: Merging, whole: Any) -> Any:
    """Return what a sibling without an opinion of its own is given of the whole's element."""
    if word.word in EVERY_SIBLING:
        return whole
    if word.word == "labels" and isinstance(whole, dict):
        return {name: whole[name] for name in LABELS if name in whole} or None
    return None


def rest_of(word: Merging, whole: Any, owned: Iterable[Any]) -> Any:
    """Return what of the whole's element no sibling holds; `owned` are the siblings' own values."""
    if whole is None or word.word in EVERY_SIBLING:
        return None
    if word.word == "labels":
        return {name: part for name, part in whole.items() if name not in LABELS} or None
    own = [value for value in owned if value is not None]
    if isinstance(whole, list):
        mine = [_unnamed(item) for value in own if isinstance(value, list) for item in value]
        return [item for item in whole if _unnamed(item) not in mine] or None
    return None if whole in own else whole


def differ(values: Sequence[Any]) -> bool:
    """Tell whether siblings say an element differently."""
    return any(value != values[0] for value in values[1:])


def mark(value: Any) -> str:
    """Return by what a value is known again, without keeping it."""
    if value is None:
        return ""
    return hashlib.sha256(dumps(_sorted(value))).hexdigest()[:16]


def without_ours(extensions: Any) -> list[Any] | None:
    """Return the extensions that are not the engine's own carrying."""
    return [one for one in extensions or () if not is_ours(one)] or None


def ours(extensions: Any) -> list[Any]:
    """Return the extensions in which the engine carries something."""
    return [one for one in extensions or () if is_ours(one)]


def _distinct(values: Iterable[Any]) -> list[Any] | None:
    return _beyond([], values) or None


def _beyond(known: Sequence[Any], values: Iterable[Any]) -> list[Any]:
    """Return each item of some lists once, without those that are known."""
    found: list[Any] = []
    for value in values:
        for item in value or ():
            if item not in found and item not in known:
                found.append(item)
    return found


def _unnamed(item: Any) -> Any:
    """Return a contained resource without its id, which may be another in the whole."""
    if isinstance(item, dict) and "resourceType" in item:
        return {name: part for name, part in item.items() if name != "id"}
    return item


def _labels(values: Sequence[Any], rest: Any) -> dict[str, Any] | None:
    made = dict(rest or {})
    for name in LABELS:
        found = _distinct((value or {}).get(name) for value in values)
        if found:
            made[name] = found
    return made or None


def _widest(values: Sequence[Any]) -> dict[str, Any] | None:
    """Return the period from the earliest start to the latest end; open where one is open."""
    periods = [value for value in values if value is not None]
    made: dict[str, Any] = {}
    for name, side, choose in (("start", 0, min), ("end", 1, max)):
        stated = [str(period.get(name, "")) for period in periods]
        spans = [(span[side], text) for text in stated if (span := interval(text)) is not None]
        if spans and len(spans) == len(periods):
            made[name] = choose(spans)[1]
    return made or None


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _sorted(value[name]) for name in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value
