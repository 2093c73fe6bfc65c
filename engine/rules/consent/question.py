"""The request as the decision sees it: every shape a caller may use, read into one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

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
from engine.rules.consent.criteria import Content, Datum, class_known, labels_of
from engine.rules.consent.directory import Directory, Party
from engine.rules.consent.parties import Name, joined, name_of
from engine.rules.consent.policy import Policy
from engine.rules.consent.signing import carries_authority

_CONTENT = frozenset({"class", "resourceType", "code", "securityLabel", "dataPeriod", "data"})
_DISCLOSE = frozenset({"disclose"})
_AUTHORS = ("author", "performer", "recorder", "asserter", "informationSource", "source")


@dataclass(frozen=True, slots=True)
class Recipient:
    """Hold one recipient: the party, and how the request named it."""

    party: Party | None
    given: Mapping[str, Any]
    shown: str


@dataclass(frozen=True, slots=True)
class Question:
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
    labels_part_2: bool


def read_under_own_policy(question: Question, categories: frozenset[Key]) -> Question:
    """Return the question under the policy for consents of these categories."""
    if not question.policy.by_category:
        return question
    policy = question.policy.for_category(categories)
    return question if policy is question.policy else replace(question, policy=policy)


def read_question(
    request: Mapping[str, Any], supporting: Sequence[Any], at: str, policy: Policy
) -> Question:
    """Read a request in any of the shapes that callers use; ValueError where `at` is no date."""
    moments = moment(at, policy.zone)
    if moments is None:
        raise ValueError("the instant of the decision is not a FHIR date or instant")
    directory = Directory(flattened(supporting), moments, policy.zone)
    member = joined(name_of(one, "Patient") for one in _given(request, "patient", "patientId"))
    patient = directory.person(member) if directory else member.keys
    content = _content(request, directory, policy)
    return Question(
        patient=patient,
        senders=tuple(
            directory.party(name_of(one)) for one in _parties(request, "sender", "performer")
        ),
        recipients=tuple(_recipients(request, directory, patient, policy)),
        purposes=tuple(
            concept
            for concept in concepts_of(_given(request, "purpose", "purposeOfUse"), ACT_REASON)
            if concept
        ),
        actions=_actions(request),
        scope=_keys(request.get("scope"), CONSENT_SCOPE),
        category=_keys(request.get("category"), CONSENT_CATEGORY),
        content=content,
        at=moments,
        outreach=_outreach(request, moments, policy),
        directory=directory,
        policy=policy,
        labels_part_2=bool(
            content.labels and content.labels.sensitivities & {"SUD", "ETH", "ETHUD", "OPIOIDUD"}
        ),
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


def _keys(given: Any, known: str) -> frozenset[Key]:
    if given is None:
        return frozenset()
    return frozenset().union(*concepts_of(given, known))


def _actions(request: Mapping[str, Any]) -> frozenset[str]:
    if "action" not in request:
        return _DISCLOSE
    concepts = concepts_of(_given(request, "action"), CONSENT_ACTION)
    return frozenset(key.code.lower() for one in concepts for key in one) or _DISCLOSE


def _outreach(request: Mapping[str, Any], at: Interval, policy: Policy) -> Interval:
    sent = request.get("sent")
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
    request: Mapping[str, Any], directory: Directory, patient: frozenset[str], policy: Policy
) -> list[Recipient]:
    found = []
    for one in _parties(request, "recipient") or _parties(request, "actor"):
        name = name_of(one)
        member = bool(name.keys & patient) and name.type in (None, "Patient")
        member = member or carries_authority(name, patient, directory, policy)
        given = one if isinstance(one, dict) else {"reference": one}
        shown = name.shown if name.keys else name.words or "an unnamed recipient"
        found.append(Recipient(directory.party(name, member), given, shown))
    return found or [Recipient(None, {}, "")]


def _content(request: Mapping[str, Any], directory: Directory, policy: Policy) -> Content:
    if _CONTENT.isdisjoint(request):
        return Content(withhold=policy.unlabelled == "withhold")
    stated = _given(request, "dataPeriod")
    age = period(stated[0], policy.zone) if stated else None
    if stated and isinstance(stated[0], str):
        age = moment(stated[0], policy.zone)
    labels = labels_of(_given(request, "securityLabel"))
    classes = tuple(
        concept for concept in map(class_known, _given(request, "class", "resourceType")) if concept
    )
    return Content(
        classes=classes or None,
        codes=tuple(one for one in concepts_of(_given(request, "code")) if one) or None,
        labels=labels if labels else None,
        period=age,
        unreadable_period=bool(stated) and age is None,
        data=tuple(_datum(one, directory) for one in _given(request, "data")) or None,
        withhold=policy.unlabelled == "withhold",
    )


def _datum(given: Any, directory: Directory) -> Datum:
    """Return one piece of content asked for, with what its resource says of author and links."""
    name = name_of(given)
    meaning = given.get("meaning") if isinstance(given, dict) else None
    if isinstance(meaning, str) and meaning != "instance":
        return Datum({meaning: (name,)})
    links: dict[str, tuple[Name, ...]] = {"instance": (name,)}
    for resource in directory.found(name.keys):
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
