"""Filter criteria (`Task?owner=Organization/7&status=completed`): read once, asked per event."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from engine.diagnostics import Diagnostic, did_you_mean
from engine.message import Resource
from engine.store import Transaction
from engine.subscriptions.topics import Filter, Topic
from engine.transform.crosswalk import identifier_key, literal, reference_key

MOST = 20
"""How many parameters one criterion may have."""

LONGEST = 2_000
_IDENTIFIER = "identifier"


@dataclass(frozen=True, slots=True)
class Condition:
    """Hold one parameter of a criterion; one of `values` must fit. By identifier or by name."""

    filter: Filter
    values: tuple[str, ...]
    by_identifier: bool = False


def understood(topic: Topic, criteria: Iterable[str]) -> tuple[list[Condition], list[Diagnostic]]:
    """Read filter criteria; all conditions must hold. What is not understood is a problem."""
    conditions: list[Condition] = []
    problems: list[Diagnostic] = []
    for place, text in enumerate(criteria):
        path = f"Subscription.criteria.extension[{place}].value"
        found = list(_read(topic, text, path))
        conditions += [one for one in found if isinstance(one, Condition)]
        problems += [one for one in found if isinstance(one, Diagnostic)]
    return conditions, problems


def _read(topic: Topic, text: str, path: str) -> Iterator[Condition | Diagnostic]:
    type_name, mark, query = text.partition("?")
    if not mark:
        type_name, query = topic.type, text
    if type_name != topic.type:
        yield _problem("A filter speaks of another type than its topic.", path, f"{topic.type}?...")
        return
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True, max_num_fields=MOST)
    except ValueError:
        pairs = []
    if not pairs or len(text) > LONGEST:
        yield _problem("This filter cannot be read.", path, f"{topic.type}?parameter=value")
    for name, value in pairs:
        yield _condition(topic, name, value, path)


def _condition(topic: Topic, name: str, value: str, path: str) -> Condition | Diagnostic:
    bare, _, modifier = name.partition(":")
    known = topic.filters.get(bare)
    values = tuple(one for one in value.split(",") if one)
    if known is None:
        said = "The topic cannot be filtered by this parameter."
        remedy = did_you_mean(bare, topic.filters)
        return _problem(said, path, " | ".join(topic.filters), remedy)
    by_identifier = known.way == "reference" and modifier == _IDENTIFIER
    if modifier and not by_identifier:
        return _problem("This modifier is not applied here.", path, f"{bare}=value")
    if not values:
        return _problem("A parameter has no value.", path, f"{bare}=value")
    return Condition(known, values, by_identifier)


def _problem(said: str, path: str, expected: str, remedy: str | None = None) -> Diagnostic:
    return Diagnostic("S002", said, path=path, expected=expected, remedy=remedy)


def fits(tx: Transaction, system: str, resource: Resource, asked: Iterable[Condition]) -> bool:
    """Tell whether a canonical resource fulfils every condition, as `system` names things."""
    return all(_fits(tx, system, resource, one) for one in asked)


def _fits(tx: Transaction, system: str, resource: Resource, condition: Condition) -> bool:
    found = resource.get(condition.filter.path)
    listed = found if isinstance(found, list) else [found]
    match condition.filter.way:
        case "id":
            wanted = _entities(tx, system, str(resource["resourceType"]), condition)
            return str(found) in wanted
        case "token":
            return any(_has_code(one, token) for one in listed for token in condition.values)
        case "reference":
            return any(_points(tx, system, one, condition) for one in listed)


def _has_code(element: Any, token: str) -> bool:
    """Tell whether a code or CodeableConcept has the code of a token (`code`, `system|code`)."""
    system, bar, code = token.rpartition("|")
    if isinstance(element, str):
        return element == code
    codings = element.get("coding", ()) if isinstance(element, Mapping) else ()
    return any(
        coding.get("code") == code and (not bar or coding.get("system", "") == system)
        for coding in codings
    )


def _points(tx: Transaction, system: str, reference: Any, condition: Condition) -> bool:
    if not isinstance(reference, Mapping):
        return False
    if condition.by_identifier and _identified(reference.get("identifier"), condition.values):
        return True
    target = literal(str(reference.get("reference", "")))
    return target is not None and target.id in _entities(tx, system, target.type, condition)


def _identified(identifier: Any, tokens: Iterable[str]) -> bool:
    if not isinstance(identifier, Mapping):
        return False
    token = f"{identifier.get('system', '')}|{identifier.get('value')}"
    return token in tokens


def _entities(tx: Transaction, system: str, type_name: str, condition: Condition) -> set[str]:
    """Return the canonical ids that the values of a condition mean, of one type."""
    found: set[str] = set()
    for value in condition.values:
        entity = _entity(tx, system, type_name, value, condition.by_identifier)
        found.update(tx.crosswalk.same(entity) if entity else ())
    return found


def _entity(
    tx: Transaction, system: str, type_name: str, value: str, by_identifier: bool
) -> str | None:
    if by_identifier:
        of_system, _, token = value.partition("|")
        key = identifier_key(type_name, {"system": of_system, "value": token})
        return next(iter(tx.crosswalk.resolve([key] if key else []).values()), None)
    named = literal(value)
    if named is not None and named.type != type_name:
        return None
    id = named.id if named is not None else value
    own = tx.crosswalk.resolve([reference_key(system, f"{type_name}/{id}")])
    return next(iter(own.values()), None) or tx.crosswalk.current(id) or id
