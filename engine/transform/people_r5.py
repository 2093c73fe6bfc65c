"""How people and organizations are reached, and when, which R5 and R4 write differently.

What a half cannot say on the other side is remembered by the adapter.
"""

from __future__ import annotations

from typing import Any

from engine.transform.functions import Arguments, Pair, Values

Tree = dict[str, Any]

_OPEN = frozenset({"telecom", "address"})
"""What an ExtendedContactDetail may hold that is the organization's own."""


def _items(values: Values, name: str) -> list[Tree]:
    found = values.get(name, [])
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def _full(values: Values) -> Values:
    return {name: value for name, value in values.items() if value}


def contacts_to_r4(values: Values, arguments: Arguments) -> Values:
    """Take contacts without a person or purpose as the organization's own numbers and addresses."""
    contacts = _items(values, "contact")
    own = [contact for contact in contacts if _OPEN.issuperset(contact)]
    others = [_person(contact) for contact in contacts if not _OPEN.issuperset(contact)]
    addresses = [contact["address"] for contact in own if "address" in contact]
    people = [contact for contact in others if contact]
    return _full({"telecom": _numbers(own), "address": addresses, "contact": people})


def _numbers(contacts: list[Tree]) -> list[Any]:
    return [number for contact in contacts for number in contact.get("telecom", ())]


def _person(contact: Tree) -> Tree:
    """Return an R4 contact: one name, and nothing of the organization and period behind it."""
    kept = {key: value for key, value in contact.items() if key not in ("organization", "period")}
    names = kept.get("name")
    return {**kept, "name": names[0]} if isinstance(names, list) and names else kept


def contacts_to_r5(values: Values, arguments: Arguments) -> Values:
    """Write numbers and first address as one contact, each further address as one of its own."""
    addresses = _items(values, "address")
    first = _full({"telecom": values.get("telecom"), "address": next(iter(addresses), None)})
    made = [first] if first else []
    made += [{"address": address} for address in addresses[1:]]
    for contact in _items(values, "contact"):
        name = contact.get("name")
        made.append({**contact, "name": [name]} if name is not None else contact)
    return _full({"contact": made})


def numbers_of(values: Values, arguments: Arguments) -> Values:
    """Take the numbers of all contacts."""
    return _full({"telecom": _numbers(_items(values, "contact"))})


def with_numbers(values: Values, arguments: Arguments) -> Values:
    """Write numbers as one contact."""
    numbers = values.get("telecom")
    return {"contact": [{"telecom": numbers}]} if numbers else {}


def times_to_r4(values: Values, arguments: Arguments) -> Values:
    """Take the times of every availability together."""
    stated = _items(values, "availability")
    there = [time for one in stated for time in one.get("availableTime", ())]
    away = [time for one in stated for time in one.get("notAvailableTime", ())]
    described = [time if "description" in time else _described(time) for time in away]
    return _full({"availableTime": there, "notAvailable": described})


def _described(time: Tree) -> Tree:
    """Return a time of absence with the description that R4 requires."""
    return {**time, "description": "not available"}


def times_to_r5(values: Values, arguments: Arguments) -> Values:
    """Write all times as one availability."""
    names = {"availableTime": "availableTime", "notAvailable": "notAvailableTime"}
    made = {there: values[here] for here, there in names.items() if values.get(here)}
    return {"availability": [made]} if made else {}


def language_of(values: Values, arguments: Arguments) -> Values:
    """Take the languages; which one is preferred is remembered."""
    found = [item["language"] for item in _items(values, "communication") if "language" in item]
    return _full({"communication": found})


def with_language(values: Values, arguments: Arguments) -> Values:
    """Write each language as R5 does, where it may be preferred."""
    return _full({"communication": [{"language": c} for c in _items(values, "communication")]})


PAIRS = (
    Pair(
        "organization-contacts",
        "The contacts of an R5 Organization; telecom, address and contact of an R4 Organization.",
        contacts_to_r4,
        contacts_to_r5,
    ),
    Pair(
        "role-contacts",
        "The contacts of an R5 PractitionerRole; the telecom of an R4 PractitionerRole.",
        numbers_of,
        with_numbers,
    ),
    Pair(
        "role-availability",
        "The availability of an R5 PractitionerRole; availableTime and notAvailable of an R4 one.",
        times_to_r4,
        times_to_r5,
    ),
    Pair(
        "practitioner-languages",
        "The communication of an R5 Practitioner; the languages of an R4 Practitioner.",
        language_of,
        with_language,
    ),
)
"""The function pairs of this module."""
