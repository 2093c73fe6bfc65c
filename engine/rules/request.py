"""What leaves becomes a question: who tells whom, what, about whom, and what for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

from engine.fhir.json import dumps
from engine.message import Resource
from engine.rules.alike import Alike, ToldContent
from engine.rules.consent.codings import (
    ACT_REASON,
    CONSENT_CATEGORY,
    key_of,
    listed,
    mappings,
)
from engine.rules.consent.parties import NOBODY, Name, identifier_key, name_of
from engine.rules.consent.policy import Policy
from engine.rules.consent.question import Asked, all_keys, stated_concepts
from engine.rules.content import Shelf
from engine.rules.elements import references_in
from engine.rules.sensitivity import SensitivityTable
from engine.rules.told import Told, told_by

_TELLERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "Communication": ("sender",),
        "CommunicationRequest": ("requester",),
        "Task": ("requester",),
    }
)
_TOLD: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "Communication": ("recipient",),
        "CommunicationRequest": ("recipient", "sender"),
        "Task": ("owner", "restriction"),
    }
)
_SUBJECTS = ("subject", "patient", "for", "beneficiary", "individual")
_NAMING = (*_SUBJECTS, "sender", "requester", "recipient", "owner", "restriction")
"""The elements that name the parties of some type."""

_CATEGORISED = frozenset({"Communication", "CommunicationRequest"})
"""The types whose category says what is disclosed; elsewhere it is no category of consents."""

_TEST_DATA = "HTEST"


def request_for(
    resource: Resource,
    *,
    sender_system: Mapping[str, Any],
    recipient_systems: Sequence[Mapping[str, Any]],
    purpose: Sequence[Mapping[str, Any]],
    supporting: Sequence[Resource] = (),
    table: SensitivityTable | None = None,
    minor: bool = False,
) -> dict[str, Any]:
    """Return the question that the consent decision answers about one canonical resource.

    `sender_system` and `recipient_systems` are the organizations of the systems, as References
    (`reference`, `identifier`). `purpose` holds where the resource states none. `supporting` are
    the resources that references lead to. With a `table` the content is labelled first, as by
    `engine.rules.labels.label`.

    `sender` is a list where the resource names another sender than the system it came from: all
    of them must be covered. What is said of the content holds for all of it; where its parts
    differ the request is silent and the obligations of the answer judge each part
    (`engine.rules.redact`). (CONSENT.md, "How a Communication becomes a request".)
    """
    told = told_by(resource, supporting, table=table, minor=minor)
    return question_about(
        told,
        sender_system=sender_system,
        recipient_systems=recipient_systems,
        purpose=purpose,
    )


def question_about(
    told: Told,
    *,
    sender_system: Mapping[str, Any],
    recipient_systems: Sequence[Mapping[str, Any]],
    purpose: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Return the question about what a resource tells, as `request_for`."""
    resource = told.resource
    senders, recipients = _parties(told, sender_system, recipient_systems)
    told_by_whom = [given for given, _ in senders]
    asked = {
        "patient": _patient(resource, told.shelf),
        "sender": told_by_whom[0] if len(told_by_whom) == 1 else told_by_whom,
        "recipient": [given for given, _ in recipients],
        "purpose": _purposes(resource) or [dict(one) for one in purpose],
        "action": "disclose",
        **Alike(told).written(),
        "category": _category(resource),
        "sent": resource.get("sent"),
    }
    return {key: value for key, value in asked.items() if value}


def asked_about(
    told: Told,
    *,
    sender_system: Mapping[str, Any],
    recipient_systems: Sequence[Mapping[str, Any]],
    purpose: Sequence[Mapping[str, Any]],
    policy: Policy,
) -> Asked:
    """Return what is read from the question of `question_about`, without writing it down first.

    It is to be looked up among the people that the library of `told` holds.
    """
    resource = told.resource
    patient = _known_patient(resource, told.shelf)
    senders, recipients = _parties(told, sender_system, recipient_systems)
    purposes = _purposes(resource) or purpose
    return Asked(
        patient=name_of(patient, "Patient") if patient else NOBODY,
        senders=tuple([name for _, name in senders]),
        recipients=tuple([(name, given) for given, name in recipients]),
        purposes=stated_concepts(purposes, ACT_REASON),
        category=all_keys(_category(resource), CONSENT_CATEGORY),
        content=partial(ToldContent, told, policy),
        stated={
            "patient": patient or None,
            "sender": [given for given, _ in senders],
            "recipient": [given for given, _ in recipients],
            "purpose": purposes,
        },
        sent=resource.get("sent"),
    )


def read_for(
    resource: Resource,
    *,
    sender_system: Mapping[str, Any],
    recipient_systems: Sequence[Mapping[str, Any]],
    purpose: Sequence[Mapping[str, Any]],
) -> bytes | None:
    """Return as JSON all that `asked_about` reads here but for content and `sent`.

    Two questions that are read from the same text, beside the same people, ask the same. None
    where that cannot be told: what a resource contains speaks for its parties, too.
    """
    if "contained" in resource:
        return None
    kind, meta = resource.get("resourceType"), resource.get("meta")
    return dumps(
        [
            kind,
            {name: resource[name] for name in _NAMING if name in resource},
            _category(resource),
            meta.get("security") if isinstance(meta, dict) else None,
            bool(resource.get("output")),
            resource.get("id") if kind == "Patient" else None,
            (sender_system, recipient_systems, purpose),
        ]
    )


_Named = tuple[dict[str, Any], Name]
"""A party as it is given, and its name."""


def _parties(
    told: Told, sender_system: Mapping[str, Any], recipient_systems: Sequence[Mapping[str, Any]]
) -> tuple[list[_Named], list[_Named]]:
    """Return who tells whom.

    In a Task that was answered (`output`), its owner tells its requester, not the other way round.
    """
    resource = told.resource
    kind = str(resource.get("resourceType"))
    answers = kind == "Task" and bool(resource.get("output"))
    tellers = ("owner",) if answers else _TELLERS.get(kind, ())
    listeners = ("requester", "restriction") if answers else _TOLD.get(kind, ())
    senders = _named_in(resource, tellers, told.shelf)
    recipients = _named_in(resource, listeners, told.shelf)
    return (
        _distinct([*senders, dict(sender_system)]),
        _distinct([*recipients, *map(dict, recipient_systems)]),
    )


def _patient(resource: Resource, shelf: Shelf) -> dict[str, Any]:
    """Return the member with every identifier known, also of records merged into this one."""
    stated = _subject(resource)
    identifiers = list(mappings(stated.get("identifier")))
    pending: list[Mapping[str, Any]] = [stated]
    seen: set[str] = set()
    while pending:
        record = shelf.record(pending.pop())
        if record is None or record.get("resourceType") != "Patient" or _name(record) in seen:
            continue
        seen.add(_name(record))
        identifiers.extend(mappings(record.get("identifier")))
        pending.extend(
            link["other"] for link in mappings(record.get("link")) if _is_same_person(link)
        )
    patient: dict[str, Any] = {}
    if isinstance(stated.get("reference"), str):
        patient["reference"] = stated["reference"]
    if identifiers:
        patient["identifier"] = _distinct_identifiers(identifiers)
    return patient


def _subject(resource: Resource) -> Mapping[str, Any]:
    if resource.get("resourceType") == "Patient":
        return {"reference": f"Patient/{resource.get('id')}"}
    found = (resource[name] for name in _SUBJECTS if name in resource)
    return next((one for one in found if isinstance(one, dict)), {})


def _known_patient(resource: Resource, shelf: Shelf) -> dict[str, Any]:
    """Return the member as `_patient`, by reference alone where whoever looks it up finds the rest.

    A record that others were merged into is followed here, as is one that is contained.
    """
    stated = _subject(resource)
    reference = stated.get("reference")
    if isinstance(reference, str) and "identifier" not in stated:
        record = shelf.record(stated)
        if record is not None and "link" not in record and reference == _name(record):
            return {"reference": reference}
    return _patient(resource, shelf)


def _is_same_person(link: Mapping[str, Any]) -> bool:
    """Tell whether a link joins two records of one person (`seealso` may join relatives)."""
    return link.get("type") in ("replaces", "replaced-by", "refer") and isinstance(
        link.get("other"), Mapping
    )


def _name(record: Resource) -> str:
    return f"{record.get('resourceType')}/{record.get('id')}"


def _distinct_identifiers(identifiers: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return identifiers once each, without those that tell nobody apart (a family's number)."""
    found: dict[tuple[Any, Any], dict[str, Any]] = {}
    for identifier in identifiers:
        if identifier_key(identifier):
            key = (identifier.get("system"), identifier["value"])
            plain = {name: identifier[name] for name in ("system", "value") if name in identifier}
            found.setdefault(key, plain)
    return list(found.values())


def _named_in(resource: Resource, elements: Iterable[str], shelf: Shelf) -> list[dict[str, Any]]:
    """Return the parties named in these elements; a contained one by its own identifiers."""
    found = []
    for element in elements:
        for reference in references_in(resource.get(element)):
            party = dict(reference)
            if (held := shelf.inside(reference)) is not None:
                party = {"reference": reference["reference"], "type": held.get("resourceType")}
                party["identifier"] = _distinct_identifiers(mappings(held.get("identifier")))
            party.pop("display", None)
            found.append(party)
    return found


def _distinct(parties: Sequence[dict[str, Any]]) -> list[_Named]:
    """Return the parties, with their names, without those that an earlier one already names."""
    found: list[_Named] = []
    seen: set[str] = set()
    for party in parties:
        name = name_of(party)
        if not name.keys or not name.keys <= seen:
            found.append((party, name))
        seen |= name.keys
    return found


def _category(resource: Resource) -> Sequence[Any]:
    categorised = resource.get("resourceType") in _CATEGORISED
    return listed(resource.get("category")) if categorised else ()


def _purposes(resource: Resource) -> list[dict[str, Any]]:
    """Return the purposes of use on the resource itself; the mark of test data is none."""
    meta = resource.get("meta")
    if not isinstance(meta, dict) or "security" not in meta:
        return []
    keys = [key for key in map(key_of, mappings(meta["security"])) if key]
    return [
        {"system": ACT_REASON, "code": code}
        for system, code in keys
        if system == ACT_REASON and code != _TEST_DATA
    ]
