"""The request as the decision sees it: every shape a caller may use, read into one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from engine.fhir.dates import Interval, moment, period
from engine.rules.consent.codings import (
    ACT_REASON,
    CONSENT_ACTION,
    CONSENT_CATEGORY,
    CONSENT_SCOPE,
    Concept,
    Key,
    concepts_of,
    listed,
    mappings,
)
from engine.rules.consent.criteria import Content, Datum, Stated, class_known, labels_of
from engine.rules.consent.directory import Directory, Party
from engine.rules.consent.parties import Name, joined, name_of
from engine.rules.consent.policy import Policy
from engine.rules.consent.signing import carries_authority

_DISCLOSE = frozenset({"disclose"})
_CONTENT = frozenset({"class", "resourceType", "code", "securityLabel", "dataPeriod", "data"})
_AUTHORS = ("author", "performer", "recorder", "asserter", "informationSource", "source")


class Asked(Struct, frozen=True):
    """Hold what a request states: every code and name is read, nobody is looked up yet.

    `recipients` are names, each with how the request gave it. `content` tells what is stated of the
    content once it is known who is who. `stated` is the request for the record, or as much of it
    as the record keeps.
    """

    patient: Name
    senders: tuple[Name, ...]
    recipients: tuple[tuple[Name, Mapping[str, Any]], ...]
    purposes: tuple[Concept, ...]
    category: frozenset[Key]
    content: Callable[[Directory], Content]
    stated: Mapping[str, Any]
    sent: Any = None
    actions: frozenset[str] = _DISCLOSE
    scope: frozenset[Key] = frozenset()


class Recipient(Struct, frozen=True):
    """Hold one recipient: the party, and how the request named it."""

    party: Party | None
    given: Mapping[str, Any]
    shown: str


class Question(Struct, frozen=True):
    """Ask whether a disclosure may happen; every field is ready to be compared.

    `at` is the moment of the decision, `outreach` that before which consent must be signed.
    """

    patient: frozenset[str]
    senders: tuple[Party, ...]
    recipients: tuple[Recipient, ...]
    purposes: tuple[Concept, ...]
    actions: frozenset[str]
    scope: frozenset[Key]
    category: frozenset[Key]
    content: Content
    at: Interval
    outreach: Interval
    directory: Directory
    policy: Policy


def read_under_own_policy(question: Question, categories: frozenset[Key]) -> Question:
    """Return the question under the policy for consents of these categories."""
    policy = question.policy.for_category(categories)
    return question if policy is question.policy else replace(question, policy=policy)


def read_question(
    request: Mapping[str, Any], supporting: Sequence[Any], at: str, policy: Policy
) -> Question:
    """Read a request in any of the shapes that callers use; ValueError where `at` is no date."""
    directory = Directory(flattened(supporting), instant(at, policy), policy.zone)
    return question_of(read_request(request, policy), directory, at, policy)


def instant(at: str, policy: Policy) -> Interval:
    """Return the moment of a decision; ValueError where `at` is no date."""
    found = moment(at, policy.zone)
    if found is None:
        raise ValueError("the instant of the decision is not a FHIR date or instant")
    return found


def question_of(asked: Asked, directory: Directory, at: str, policy: Policy) -> Question:
    """Look up who is who in what was asked."""
    now = instant(at, policy)
    patient = directory.person(asked.patient) if directory else asked.patient.keys
    return Question(
        patient=patient,
        senders=tuple([directory.party(name) for name in asked.senders]),
        recipients=tuple(_recipients(asked, directory, patient, policy, now)),
        purposes=asked.purposes,
        actions=asked.actions,
        scope=asked.scope,
        category=asked.category,
        content=asked.content(directory),
        at=now,
        outreach=outreach(asked.sent, now, policy),
        directory=directory,
        policy=policy,
    )


def read_request(request: Mapping[str, Any], policy: Policy) -> Asked:
    """Read a request in any of the shapes that callers use."""
    recipients = _parties(request, "recipient") or _parties(request, "actor")
    return Asked(
        patient=joined(name_of(one, "Patient") for one in _given(request, "patient", "patientId")),
        senders=tuple(map(name_of, _parties(request, "sender", "performer"))),
        recipients=tuple(
            (name_of(one), one if isinstance(one, dict) else {"reference": one})
            for one in recipients
        ),
        purposes=stated_concepts(_given(request, "purpose", "purposeOfUse"), ACT_REASON),
        category=all_keys(request.get("category"), CONSENT_CATEGORY),
        content=partial(_content, request, policy),
        stated=request,
        sent=request.get("sent"),
        actions=_actions(request),
        scope=all_keys(request.get("scope"), CONSENT_SCOPE),
    )


def flattened(resources: Any) -> list[Any]:
    """Return resources one by one: Bundles opened, lists flattened, what is nothing left out."""
    found: list[Any] = []
    for one in listed(resources):
        if isinstance(one, list | tuple):
            found += flattened(one)
        elif isinstance(one, dict) and one.get("resourceType") == "Bundle":
            found += [entry.get("resource") for entry in mappings(one.get("entry"))]
        elif isinstance(one, dict) and one.get("resourceType") == "Parameters":
            found += [entry.get("resource") for entry in mappings(one.get("parameter"))]
        elif one is not None:
            found.append(one)
    return [one for one in found if one is not None]


def _given(request: Mapping[str, Any], *names: str) -> Sequence[Any]:
    """Return the values under the first of the names that says anything."""
    for name in names:
        if name not in request:
            continue
        if values := [one for one in listed(request.get(name)) if one not in (None, "", {}, [])]:
            return values
    return ()


def all_keys(given: Any, known: str) -> frozenset[Key]:
    """Return every key of a list of concepts; codes without system are of the `known` one."""
    return frozenset().union(*concepts_of(given, known))


def stated_concepts(given: Any, known: str = "") -> tuple[Concept, ...]:
    """Return the concepts of a list that have a code."""
    return tuple([concept for concept in concepts_of(given, known) if concept])


def _actions(request: Mapping[str, Any]) -> frozenset[str]:
    if "action" not in request:
        return _DISCLOSE
    concepts = concepts_of(_given(request, "action"), CONSENT_ACTION)
    return frozenset(key.code.lower() for one in concepts for key in one) or _DISCLOSE


def outreach(sent: Any, at: Interval, policy: Policy) -> Interval:
    """Return the moment of the outreach: when it was sent, but no later than the decision."""
    found = moment(sent, policy.zone) if isinstance(sent, str) else None
    return min(found, at) if found else at


def _parties(request: Mapping[str, Any], *names: str) -> Sequence[Any]:
    """Return the parties under a name; a list of bare identifiers under `actor` is one party."""
    values = _given(request, *names)
    bare = [one for one in values if isinstance(one, dict) and _is_identifier(one)]
    if len(bare) == len(values) > 1 and names[0] == "actor":
        return [{"identifier": bare}]
    return values


def _is_identifier(given: Mapping[str, Any]) -> bool:
    return "value" in given and "reference" not in given and "identifier" not in given


def _recipients(
    asked: Asked, directory: Directory, patient: frozenset[str], policy: Policy, at: Interval
) -> Sequence[Recipient]:
    found = []
    for name, given in asked.recipients:
        member = not name.keys.isdisjoint(patient) and name.type in (None, "Patient")
        member = member or carries_authority(name, patient, directory, policy, at)
        shown = name.shown if name.keys else name.words or "an unnamed recipient"
        found.append(Recipient(directory.party(name, member), given, shown))
    return found or _NOBODY


_NOBODY = (Recipient(None, {}, ""),)


def _content(request: Mapping[str, Any], policy: Policy, directory: Directory) -> Content:
    withhold = policy.unlabelled == "withhold"
    if _CONTENT.isdisjoint(request):
        return Stated(withhold=withhold)
    stated = _given(request, "dataPeriod")
    age = period(stated[0], policy.zone) if stated else None
    if stated and isinstance(stated[0], str):
        age = moment(stated[0], policy.zone)
    classes = map(class_known, _given(request, "class", "resourceType"))
    return Stated(
        classes=tuple(concept for concept in classes if concept) or None,
        codes=stated_concepts(_given(request, "code")) or None,
        labels=labels_of(_given(request, "securityLabel")) or None,
        period=age,
        unreadable_period=bool(stated) and age is None,
        data=data_of(_given(request, "data"), directory),
        withhold=withhold,
    )


def data_of(given: Sequence[Any], directory: Directory) -> tuple[Datum, ...] | None:
    """Return the pieces of content that are asked for; None where none is named."""
    return tuple([_datum(one, directory) for one in given]) or None


def _datum(given: Any, directory: Directory) -> Datum:
    """Return one piece of content asked for, with what its resource says of author and links."""
    name = name_of(given)
    meaning = given.get("meaning") if isinstance(given, dict) else None
    if isinstance(meaning, str) and meaning != "instance":
        return Datum({meaning: (name,)})
    links: dict[str, tuple[Name, ...]] = {"instance": (name,)}
    for entry in directory.found(name.keys):
        resource = entry.resource
        links["authoredby"] = tuple(
            name_of(one)
            for element in _AUTHORS
            for one in mappings(resource.get(element))
            if "reference" in one or "identifier" in one
        )
        near = (name, *_references(resource))
        links["related"] = links["dependents"] = near
    return Datum(links)


def _references(resource: Mapping[str, Any]) -> list[Name]:
    found: list[Name] = []
    pending: list[Any] = list(resource.values())
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            if isinstance(node.get("reference"), str):
                found.append(name_of(node))
            pending.extend(node.values())
        elif isinstance(node, list):
            pending.extend(node)
    return found
