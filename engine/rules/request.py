"""What leaves becomes a question: who tells whom, what, about whom, and what for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, partial
from types import MappingProxyType
from typing import Any

from engine.fhir.dates import ALWAYS, Interval, moment, period
from engine.message import Resource
from engine.rules.consent.codings import (
    ACT_REASON,
    CONSENT_CATEGORY,
    RESOURCE_TYPES,
    Concept,
    Key,
    concepts_of,
    key_of,
    listed,
    mappings,
)
from engine.rules.consent.criteria import Datum, labels_among
from engine.rules.consent.directory import Directory
from engine.rules.consent.parties import NOBODY, Name, identifier_key, name_of
from engine.rules.consent.policy import Policy
from engine.rules.consent.question import Asked, all_keys, data_of, stated_concepts
from engine.rules.content import ABOUT, Part, Shelf, element_of, is_content
from engine.rules.elements import Age, names_of, references_in
from engine.rules.security_label import Label, coding, in_order
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
        **_Alike(told).written(),
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
        content=partial(_Content, told, policy),
        stated={
            "patient": patient or None,
            "sender": [given for given, _ in senders],
            "recipient": [given for given, _ in recipients],
            "purpose": purposes,
        },
        sent=resource.get("sent"),
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


class _Alike:
    """Tell what is asked of the content: only what holds for all of it alike.

    Where its parts differ the request stays silent, and the decision answers with obligations
    that judge each part: one entry may be held back and the others sent.
    """

    def __init__(self, told: Told) -> None:
        self._told = told

    @cached_property
    def _parts(self) -> Sequence[Part]:
        resource, found = self._told.resource, self._told.parts
        told = [part for part in found if is_content(resource, part.path) or _stands_alone(part)]
        return told or found

    @cached_property
    def classes(self) -> list[frozenset[Label]]:
        """Return the classes of the carrier, then those of what it carries."""
        if not _is_alike([part.classes for part in self._parts]):
            return []
        first = self._parts[0]
        return [one for one in (first.envelope - first.classes, first.classes) if one]

    @cached_property
    def about(self) -> list[Mapping[str, Any]]:
        """Return what the resource says it is about, as it says it."""
        if not _is_alike([part.codes for part in self._parts]):
            return []
        return [one for name in ABOUT for one in mappings(self._told.resource.get(name))]

    @cached_property
    def codes(self) -> list[Label]:
        """Return every other code in it, in order; that of its category stands elsewhere."""
        if not _is_alike([part.codes for part in self._parts]):
            return []
        every = [part.codes for part in self._told.parts if element_of(part.path) != "category"]
        return sorted(frozenset[Label]().union(*every).difference(*concepts_of(self.about)))

    @property
    def labels(self) -> frozenset[Label]:
        """Return the labels of everything."""
        found = list(self._told.labels.values())
        return found[0] if _is_alike(found) else frozenset()

    @cached_property
    def age(self) -> Mapping[str, str]:
        """Return the period from the first date of the content to the last."""
        alike = _is_alike([part.ages for part in self._parts])
        return _span(self._parts[0].ages) if alike else {}

    @cached_property
    def data(self) -> list[dict[str, Any]]:
        """Return the one piece of content, where it has a name of its own."""
        if len(self._parts) > 1:
            return []
        return _data(self._parts[0].names - names_of(self._told.resource))

    def written(self) -> dict[str, Any]:
        """Return it in the shape of a request."""
        return {
            "class": [_as_concept(one) for one in self.classes],
            "code": [*map(dict, self.about), *map(coding, self.codes)],
            "securityLabel": in_order(self.labels),
            "dataPeriod": self.age,
            "data": self.data,
        }


class _Content:
    """Be the content of a question, read as if `_Alike` had been written down.

    It is worked out no further than a consent asks: most say nothing of content.
    """

    def __init__(self, told: Told, policy: Policy, directory: Directory) -> None:
        self._alike, self._zone = _Alike(told), policy.zone
        self._directory = directory
        self.labels = labels_among(_keys(self._alike.labels)) or None
        self.withhold = policy.unlabelled == "withhold"

    @cached_property
    def classes(self) -> tuple[Concept, ...] | None:
        return tuple([_keys(one, RESOURCE_TYPES) for one in self._alike.classes]) or None

    @cached_property
    def codes(self) -> tuple[Concept, ...] | None:
        found = [*concepts_of(self._alike.about), *[_keys([one]) for one in self._alike.codes]]
        return tuple([one for one in found if one]) or None

    @cached_property
    def period(self) -> Interval | None:
        return period(self._alike.age, self._zone) if self._alike.age else None

    @cached_property
    def unreadable_period(self) -> bool:
        return bool(self._alike.age) and self.period is None

    @cached_property
    def data(self) -> tuple[Datum, ...] | None:
        return data_of(self._alike.data, self._directory)


def _keys(labels: Iterable[Label], known: str = "") -> Concept:
    """Return labels as the keys that are read from them once they are written as codings."""
    return frozenset([Key(system or known, code) for system, code in labels if code])


def _data(names: frozenset[str]) -> list[dict[str, Any]]:
    """Return the one piece of content as `data`, where others than its carrier can find it."""
    literal = sorted(name for name in names if "|" not in name and not name.startswith("#"))
    known = [name.partition("|") for name in sorted(names) if "|" in name]
    if not literal:
        return []
    reference: dict[str, Any] = {"reference": literal[0]}
    if known:
        reference["identifier"] = [{"system": one[0], "value": one[2]} for one in known]
    return [{"meaning": "instance", "reference": reference}]


def _is_alike(values: Sequence[Any]) -> bool:
    """Tell whether there is something, and it is the same everywhere."""
    first = values[0]
    return bool(first) and values.count(first) == len(values)


def _stands_alone(part: Part) -> bool:
    return part.path.startswith("contained") or part.path == ""


def _as_concept(classes: frozenset[Label]) -> dict[str, Any]:
    """Return classes as one Coding, or as one concept where there are several names for it."""
    codings = [coding(one) for one in sorted(classes)]
    return codings[0] if len(codings) == 1 else {"coding": codings}


def _span(ages: Sequence[Age]) -> dict[str, str]:
    """Return the period from the first of these dates to the last; {} where one is not plain."""
    starts = [start for start, _ in ages if start]
    ends = [end for _, end in ages if end]
    if any(moment(date) is None for date in (*starts, *ends)):
        return {}
    span = {}
    if len(starts) == len(ages):
        span["start"] = min(starts, key=lambda date: moment(date) or ALWAYS)
    if len(ends) == len(ages):
        span["end"] = max(ends, key=lambda date: (moment(date) or ALWAYS)[1])
    return span
