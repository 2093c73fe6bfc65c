"""A Consent, R4 or R5, read once into the form that decisions are made on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast
from zlib import crc32

from engine.fhir.dates import Interval, interval, period
from engine.fhir.json import dumps
from engine.rules.consent import authority
from engine.rules.consent.codings import (
    ACT_CODE,
    ACT_REASON,
    CONSENT_ACTION,
    CONSENT_CATEGORY,
    CONSENT_SCOPE,
    Key,
    concept_of,
    concepts_of,
    listed,
    mappings,
    spelling,
)
from engine.rules.consent.criteria import Criterion, LabelCriterion, compile_criteria, labels_of
from engine.rules.consent.parties import NOBODY, Name, identifier_key, joined, name_of
from engine.rules.consent.purposes import denied_by, permitted_by
from engine.rules.consent.signing import Evidence, evidence_in, signers

Effect = Literal["permit", "deny"]
Scope = tuple[tuple[Criterion, bool], ...]
"""Criteria about content in force at a place, each with whether a deny stated it."""

_MAX_DEPTH = 30
_BASE_POLICY: Mapping[str, Effect] = {
    "OPTIN": "permit",
    "OPTINR": "permit",
    "OPTOUT": "deny",
    "OPTOUTE": "deny",
}
_PROVISION_ELEMENTS = frozenset(
    {
        *("id", "extension", "type", "period", "actor", "action", "securityLabel", "purpose"),
        *("class", "code", "dataPeriod", "data", "provision", "documentType", "resourceType"),
    }
)
_KNOWN_ACTIONS = frozenset({"collect", "access", "use", "disclose", "correct"})
_STATUS = {"not-done": "rejected"}
_HREX_REGULAR = "hrex-consent.html#regular"
_SENSITIVE = (
    "ETH",
    "GDIS",
    "HIV",
    "MST",
    "SCA",
    "SDV",
    "SEX",
    "SPI",
    "STD",
    "TBOO",
    "VIO",
    "SICKLE",
)
_RESTRICTED = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
_KEPT_BACK = [
    {"system": _RESTRICTED, "code": "R"},
    *({"system": ACT_CODE, "code": code} for code in _SENSITIVE),
]
_HELD_BACK = LabelCriterion("securityLabel", _KEPT_BACK, labels_of(_KEPT_BACK))
"""What HRex `#regular` keeps back: everything sensitive or restricted."""
_PART_2 = ("42cfrpart2", "42-cfr-part-2", "42cfr2", "42 cfr part 2")


@dataclass(frozen=True, slots=True)
class Actor:
    """Hold one actor of a provision: who, and on which side of the disclosure."""

    name: Name
    side: Literal["recipient", "sender", "neither", "unknown"]


@dataclass(frozen=True, slots=True)
class Provision:
    """Hold one provision; what is None or empty is not stated and matches everything.

    `permits` and `denies` are the purposes covered by a permit and by a deny of what is stated.
    `named` holds the keys of all recipients, `disclosing` those of all senders, `residual` what it
    says about content, as a match.
    `unclear` says why it cannot permit (an element nobody here understands, say).
    """

    path: str
    effect: Effect | None
    period: Interval | None
    unreadable_period: bool
    recipients: tuple[Actor, ...]
    named: frozenset[str]
    senders: tuple[Actor, ...]
    disclosing: frozenset[str]
    actors_unclear: bool
    actions: frozenset[str] | None
    permits: frozenset[Key] | None
    denies: frozenset[Key] | None
    criteria: tuple[Criterion, ...]
    permit_scope: Scope
    deny_scope: Scope
    residual: Mapping[str, Any]
    readable: bool
    unclear: str | None
    children: tuple[Provision, ...]
    stated: Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class CompiledConsent:
    """Hold one Consent ready for decisions; immutable, so it can be kept as long as its version.

    `group` is what must be equal for a later consent to replace an earlier one. `unclear` says
    why this consent cannot permit at all; its denies hold. `digest` orders consents that nothing
    else orders.
    """

    name: str
    status: str
    patient: Name
    scope: frozenset[Key]
    about_privacy: bool
    category: frozenset[Key]
    group: tuple[Any, ...]
    signed: Interval | None
    unreadable_signed: bool
    signed_to_the_day: bool
    period: Interval | None
    unreadable_period: bool
    roots: tuple[Provision, ...]
    refused: tuple[Provision, ...]
    base: Effect | None
    regular: LabelCriterion | None
    part_2: bool
    permitted_sensitivities: frozenset[str]
    evidence: Evidence
    signers: tuple[Name, ...]
    unclear: str | None
    resource: Mapping[str, Any]
    zone: str
    digest: int
    group_hash: int


def compile_consent(resource: Any, zone: str = "UTC") -> CompiledConsent:
    """Read a Consent of R4 or R5 once, for many decisions.

    `zone` is that of dates without time (`Policy.zone`). Nothing raises: what cannot be read makes
    the consent unable to permit, and `unclear` says why.
    """
    given: Mapping[str, Any] = resource if isinstance(resource, dict) else {}
    text = _text(given)
    rules, uris = tuple(_policy_rules(given)), tuple(_policy_uris(given))
    base = _base_effect(given, rules)
    roots = tuple(_roots(given, base, zone))
    signed_text = given.get("dateTime", given.get("date"))
    signed = interval(signed_text, zone) if isinstance(signed_text, str) else None
    stated_period = given.get("period")
    when = period(stated_period, zone) if stated_period is not None else None
    category = frozenset().union(*concepts_of(given.get("category")))
    scope = _scope(given)
    names = tuple([name_of(one) for one in signers(given)])
    grantor = joined(names)
    group = (category, frozenset(uris), frozenset(rules), scope, grantor.keys or grantor.words)
    status = given.get("status")
    return CompiledConsent(
        name=_versioned(given),
        status=_STATUS.get(status, status) if isinstance(status, str) else "",
        patient=_patient(given),
        scope=scope,
        about_privacy=Key(CONSENT_SCOPE, "patient-privacy") in scope,
        category=category,
        group=group,
        signed=signed,
        unreadable_signed=signed_text is not None and signed is None,
        signed_to_the_day=isinstance(signed_text, str) and len(signed_text) >= 10,
        period=when,
        unreadable_period=stated_period is not None and when is None,
        roots=roots,
        refused=roots or (_provision(given, {}, "status", zone, 0),),
        base=base,
        regular=_HELD_BACK if any(uri.endswith(_HREX_REGULAR) for uri in uris) else None,
        part_2=_is_part_2([*[key.code for key in rules], *uris]),
        permitted_sensitivities=_permitted_sensitivities(roots, base or "deny"),
        evidence=evidence_in(given, zone),
        signers=names,
        unclear=_unclear(given, text, base, roots),
        resource=given,
        zone=zone,
        digest=crc32(text),
        group_hash=hash(group),
    )


def _text(given: Mapping[str, Any]) -> bytes:
    """Return a Consent as text, even where something stands in it that is no JSON."""
    try:
        return dumps(given)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return repr(given).encode("utf-8", "replace")


def _versioned(given: Mapping[str, Any]) -> str:
    meta = given.get("meta")
    version = meta.get("versionId") if isinstance(meta, dict) else None
    name = f"Consent/{given['id']}" if isinstance(given.get("id"), str) else "Consent"
    return f"{name}/_history/{version}" if version else name


def _patient(given: Mapping[str, Any]) -> Name:
    stated = given.get("patient", given.get("subject"))
    name = name_of(stated, "Patient")
    if any(key.startswith("#") for key in name.keys):
        return _contained(given, name)
    return name


def _contained(given: Mapping[str, Any], name: Name) -> Name:
    """Return a contained party by its identifiers: its own id means nothing outside."""
    for inner in mappings(given.get("contained")):
        if f"#{inner.get('id')}".replace("##", "#") in name.keys:
            kind = str(inner.get("resourceType", "")) or None
            keys = {identifier_key(one) for one in mappings(inner.get("identifier"))} - {None}
            own = Name(frozenset(key for key in keys if key), None, kind)
            if own.keys or kind not in ("PractitionerRole", "Device"):
                return own
            inside = inner.get("practitioner") or inner.get("organization") or inner.get("owner")
            return name_of(inside)
    return NOBODY


def _scope(given: Mapping[str, Any]) -> frozenset[Key]:
    scope = concept_of(given.get("scope"), CONSENT_SCOPE)
    if scope or "scope" in given:
        return scope
    codes = frozenset().union(*concepts_of(given.get("category"), CONSENT_CATEGORY))
    return frozenset(key for key in codes if key.system == CONSENT_SCOPE)


def _policy_rules(given: Mapping[str, Any]) -> Iterator[Key]:
    for element in ("policyRule", "regulatoryBasis"):
        for concept in concepts_of(given.get(element), ACT_CODE):
            yield from concept


def _policy_uris(given: Mapping[str, Any]) -> Iterator[str]:
    for entry in mappings(given.get("policy")):
        if isinstance(entry.get("uri"), str):
            yield spelling(entry["uri"])
    basis = given.get("policyBasis")
    if isinstance(basis, dict):
        for value in (basis.get("url"), basis.get("uri")):
            if isinstance(value, str):
                yield spelling(value)


def _base_effect(given: Mapping[str, Any], rules: Iterable[Key]) -> Effect | None:
    if (stated := given.get("decision")) in ("permit", "deny"):
        return cast(Effect, stated)
    effects = {_BASE_POLICY[key.code] for key in rules if key.code in _BASE_POLICY}
    return "deny" if "deny" in effects else ("permit" if effects else None)


def _roots(given: Mapping[str, Any], base: Effect | None, zone: str) -> Iterator[Provision]:
    stated = given.get("provision")
    many = isinstance(stated, list)
    for index, entry in enumerate(listed(stated)):
        path = f"provision[{index}]" if many else "provision"
        yield _provision(given, entry, path, zone, 0)
    if not listed(stated) and base:
        yield _provision(given, {}, "decision" if "decision" in given else "policyRule", zone, 0)


def _provision(given: Mapping[str, Any], entry: Any, path: str, zone: str, depth: int) -> Provision:
    unclear = None
    if not isinstance(entry, dict) or depth > _MAX_DEPTH:
        unclear, entry = "it cannot be read", {}
    stated_type = entry.get("type")
    effect = cast("Effect | None", stated_type if stated_type in ("permit", "deny") else None)
    if stated_type is not None and effect is None:
        unclear = "its type is neither permit nor deny"
    unclear = unclear or _not_understood(entry)
    when = entry.get("period")
    found = period(when, zone) if when is not None else None
    actors = list(_actors(given, entry))
    purposes = _purposes(entry)
    nested = listed(entry.get("provision"))
    criteria = compile_criteria(entry, zone)
    recipients, senders = _on_side(actors, "recipient"), _on_side(actors, "sender")
    return Provision(
        path=path,
        effect=effect,
        period=found,
        unreadable_period=when is not None and found is None,
        recipients=recipients,
        named=frozenset().union(*(actor.name.keys for actor in recipients)),
        senders=senders,
        disclosing=frozenset().union(*(actor.name.keys for actor in senders)),
        actors_unclear=any(actor.side in ("neither", "unknown") for actor in actors),
        actions=_actions(entry),
        permits=None if purposes is None else permitted_by(purposes),
        denies=None if purposes is None else denied_by(purposes),
        criteria=criteria,
        permit_scope=tuple((one, False) for one in criteria),
        deny_scope=tuple((one, True) for one in criteria),
        residual={one.name: one.stated for one in criteria},
        readable=all(one.readable for one in criteria),
        unclear=unclear,
        children=tuple(
            _provision(given, child, f"{path}.provision[{index}]", zone, depth + 1)
            for index, child in enumerate(nested)
        ),
        stated=entry,
    )


def _not_understood(entry: Mapping[str, Any]) -> str | None:
    unknown = sorted(key for key in entry if key.lstrip("_") not in _PROVISION_ELEMENTS)
    return "it has an element that is not understood here" if unknown else None


def _purposes(entry: Mapping[str, Any]) -> frozenset[Key] | None:
    stated = listed(entry.get("purpose"))
    return frozenset().union(*concepts_of(stated, ACT_REASON)) if stated else None


def _actions(entry: Mapping[str, Any]) -> frozenset[str] | None:
    stated = listed(entry.get("action"))
    if not stated:
        return None
    concepts = concepts_of(stated, CONSENT_ACTION)
    codes = frozenset(key.code.lower() for concept in concepts for key in concept)
    known = all(any(key.code.lower() in _KNOWN_ACTIONS for key in one) for one in concepts)
    return codes if known and codes else codes | {"?"}


def _actors(given: Mapping[str, Any], entry: Mapping[str, Any]) -> Iterator[Actor]:
    for stated in listed(entry.get("actor")):
        if not isinstance(stated, dict):
            yield Actor(name_of(stated), "recipient")
            continue
        name = name_of(stated.get("reference"))
        if any(key.startswith("#") for key in name.keys):
            name = _contained(given, name)
        codes = {key.code for key in concept_of(stated.get("role"))}
        if codes & authority.SELF and not codes & (authority.RECIPIENT | authority.DISCLOSER):
            continue
        sender, recipient = codes & authority.DISCLOSER, codes & authority.RECIPIENT
        if sender:
            yield Actor(name, "sender")
        if recipient or (not sender and not stated.get("role")):
            yield Actor(name, "recipient")
        elif not sender:
            yield Actor(name, "neither" if codes & authority.UNCLEAR else "unknown")


def _on_side(actors: Sequence[Actor], side: str) -> tuple[Actor, ...]:
    """Return who is on one side, with those beside them whose role is not known.

    Such an actor alone says nothing of a side: a rule with one denies and never permits.
    """
    found = tuple(actor for actor in actors if actor.side == side)
    return found and (*found, *(actor for actor in actors if actor.side == "unknown"))


def _permitted_sensitivities(provisions: Iterable[Provision], default: Effect) -> frozenset[str]:
    """Return the sensitivity codes that permitting provisions name."""
    found: set[str] = set()
    for provision in provisions:
        effect = provision.effect or default
        if effect == "permit":
            for criterion in provision.criteria:
                if isinstance(criterion, LabelCriterion):
                    found |= criterion.labels.sensitivities
        inverse: Effect = "deny" if effect == "permit" else "permit"
        found |= _permitted_sensitivities(provision.children, inverse)
    return frozenset(found)


def _is_part_2(texts: Iterable[str]) -> bool:
    plain = "\n".join(texts).lower()
    return any(mark in plain for mark in _PART_2)


def _unclear(
    given: Mapping[str, Any], text: bytes, base: Effect | None, roots: tuple[Provision, ...]
) -> str | None:
    if given.get("resourceType", "Consent") != "Consent" or not given:
        return "it is no Consent"
    if given.get("implicitRules") or given.get("_implicitRules"):
        return "it follows implicit rules that are not understood here"
    if b"modifierExtension" in text and _has_modifier(given):
        return "it has a modifier extension that is not understood here"
    if "except" in given:
        return "it is written in an older FHIR version"
    if not roots or any(root.effect is None and base is None for root in roots):
        return "it says neither permit nor deny"
    return None


def _has_modifier(consent: Mapping[str, Any]) -> bool:
    pending: list[Any] = [{key: value for key, value in consent.items() if key != "contained"}]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            if node.get("modifierExtension"):
                return True
            pending.extend(value for value in node.values() if isinstance(value, list | Mapping))
        elif isinstance(node, list):
            pending.extend(node)
    return False
