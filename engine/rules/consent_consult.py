"""CDS Hooks patient-consent-consult: its discovery, its call as a request, its answer as a card.

The shapes are those that clients of LEAP-CDS and of ASU's sharing service send and read, so that
they can ask this engine instead. Everything here is pure; HTTP and the registry are elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.diagnostics import Diagnostic
from engine.message import Resource
from engine.rules.consent.codings import (
    ACT_CODE,
    ACT_REASON,
    CONFIDENTIALITY,
    CONSENT_SCOPE,
    listed,
    mappings,
)
from engine.rules.decision import Decision, Obligation
from engine.rules.redact import apply
from engine.rules.security_label import PARENT, RANK, ancestors, label_of
from engine.rules.sensitivity import SensitivityTable

HOOK = "patient-consent-consult"

_NAMES = {"permit": "CONSENT_PERMIT", "deny": "CONSENT_DENY", "no-consent": "NO_CONSENT"}
_DETAILS = {
    "CONSENT_PERMIT": "A consent of the patient permits this.",
    "CONSENT_DENY": "A consent of the patient denies this, or none can be relied on.",
    "NO_CONSENT": "No consent of the patient applies to this.",
}
_INDICATORS = {"CONSENT_PERMIT": "info", "CONSENT_DENY": "critical", "NO_CONSENT": "warning"}


@dataclass(frozen=True, slots=True)
class Call:
    """Hold one call: the request to decide, and the content to redact where some was sent.

    `consents` are those that the caller hands in, None where the registry is to be asked.
    """

    request: Mapping[str, Any]
    content: Resource | None
    consents: tuple[Resource, ...] | None


def discovery() -> dict[str, Any]:
    """Return what `GET /cds-services` answers (CDS Hooks 2.0, discovery)."""
    return {
        "services": [
            {
                "id": HOOK,
                "hook": HOOK,
                "title": "Patient consent consult",
                "description": (
                    "Tells whether the patient's consents permit a disclosure to an actor for a "
                    "purpose, and what must be redacted from it."
                ),
            }
        ]
    }


def read_call(body: Any) -> Call | list[Diagnostic]:
    """Read the body of a call; the answer is the call, or every problem with its path.

    `context.patientId` and `context.actor` are identifiers (one or several of one party, or a
    text that is a reference or id), `purposeOfUse` codes of v3-ActReason, `scope` a code,
    `category` and `class` Codings, `content` a Bundle.
    """
    if not isinstance(body, Mapping):
        return [_problem("the body", None, "a JSON object")]
    problems = []
    if body.get("hook") != HOOK:
        problems.append(_problem("hook", "hook", HOOK))
    if not isinstance(body.get("hookInstance"), str) or not body["hookInstance"]:
        problems.append(_problem("hookInstance", "hookInstance", "a text that names this call"))
    context = body.get("context")
    if not isinstance(context, Mapping):
        return [*problems, _problem("context", "context", "a JSON object")]
    problems.extend(_context_problems(context))
    if problems:
        return problems
    consents = context.get("consent")
    return Call(
        request=_request(context),
        content=context.get("content"),
        consents=tuple(map(dict, mappings(consents))) if consents is not None else None,
    )


def _problem(what: str, path: str | None, expected: str) -> Diagnostic:
    said = f"'{what}' is missing or has another form." if path else "This is no hook call."
    return Diagnostic("N005", said, path=path, expected=expected)


def _context_problems(context: Mapping[str, Any]) -> Iterable[Diagnostic]:
    if not _parties(context.get("patientId"), "Patient"):
        expected = "one or more identifiers with a value"
        yield _problem("patientId", "context.patientId", expected)
    if context.get("actor") is not None and not _parties(context["actor"], "Organization"):
        yield _problem("actor", "context.actor", "one or more identifiers with a value")
    for name in ("category", "class"):
        if not all(
            isinstance(one, Mapping) and one.get("code") for one in listed(context.get(name))
        ):
            yield _problem(name, f"context.{name}", "Codings with system and code")
    if not all(isinstance(one, str) and one for one in listed(context.get("purposeOfUse"))):
        yield _problem("purposeOfUse", "context.purposeOfUse", "codes of v3-ActReason")
    if not isinstance(context.get("scope"), str | None):
        yield _problem("scope", "context.scope", "a code of consentscope")
    content = context.get("content")
    if content is not None and not _is_bundle(content):
        yield _problem("content", "context.content", "a Bundle whose entries have a resource")


def _is_bundle(content: Any) -> bool:
    if not isinstance(content, Mapping) or content.get("resourceType") != "Bundle":
        return False
    entries = content.get("entry", [])
    return isinstance(entries, list) and all(
        isinstance(entry, Mapping)
        and isinstance(entry.get("resource"), Mapping)
        and isinstance(entry["resource"].get("resourceType"), str)
        for entry in entries
    )


def _parties(given: Any, kind: str) -> dict[str, Any]:
    """Return a party from identifiers or a reference; {} where it cannot be read."""
    if isinstance(given, str) and given:
        return {"reference": given if "/" in given else f"{kind}/{given}"}
    identifiers = []
    for one in listed(given):
        if (
            not isinstance(one, Mapping)
            or not isinstance(one.get("value"), str)
            or not one["value"]
        ):
            return {}
        identifiers.append({name: one[name] for name in ("system", "value") if one.get(name)})
    return {"identifier": identifiers} if identifiers else {}


def _request(context: Mapping[str, Any]) -> dict[str, Any]:
    scope = context.get("scope")
    purposes = listed(context.get("purposeOfUse"))
    actor = _parties(context.get("actor"), "Organization")
    asked = {
        "patient": _parties(context["patientId"], "Patient"),
        "recipient": [actor] if actor else [],
        "purpose": [{"system": ACT_REASON, "code": code} for code in purposes],
        "scope": {"system": CONSENT_SCOPE, "code": scope} if scope else None,
        "category": [dict(one) for one in listed(context.get("category"))],
        "class": [dict(one) for one in listed(context.get("class"))],
        "action": "disclose",
    }
    return {name: value for name, value in asked.items() if value}


def answer(
    decision: Decision,
    call: Call,
    *,
    label: str,
    url: str,
    supporting: Sequence[Resource] = (),
    table: SensitivityTable | None = None,
) -> dict[str, Any]:
    """Return the cards that answer a call; `label` and `url` name this service as their source.

    Where the call holds content, the card holds what of it may be had. Where it holds none, and
    an obligation cannot be said in codes, the answer is a deny: the caller could not keep to it.
    """
    obligations = [one for each in decision.obligations for one in _obligations(each)]
    name = _NAMES[decision.decision]
    if call.content is None and any(one is None for one in obligations):
        name, obligations = "CONSENT_DENY", []
    extension: dict[str, Any] = {
        "decision": name,
        "obligations": [one for one in obligations if one is not None],
    }
    if decision.basis:
        extension["basedOn"] = f"{url.rstrip('/')}/{decision.basis[0].consent}"
    if name == "CONSENT_PERMIT" and call.content is not None:
        extension["content"] = _redacted(call.content, decision, supporting, table)
    card = {
        "summary": name,
        "detail": _DETAILS[name],
        "indicator": _INDICATORS[name],
        "source": {"label": label, "url": url},
        "extension": extension,
    }
    return {"cards": [card]}


def _redacted(
    content: Resource,
    decision: Decision,
    supporting: Sequence[Resource],
    table: SensitivityTable | None,
) -> Resource:
    """Return a Bundle without what the decision does not permit."""
    every = [dict(entry["resource"]) for entry in content.get("entry", [])]
    kept = []
    for entry, resource in zip(content.get("entry", []), every, strict=True):
        result = apply(
            resource,
            decision.obligations,
            [*every, *supporting],
            policy=decision.policy,
            table=table,
        )
        if result.resource is not None:
            kept.append({**entry, "resource": result.resource})
    out = {key: value for key, value in content.items() if key not in ("entry", "meta")}
    if "total" in out:
        out["total"] = len(kept)
    return {**out, "entry": kept} if kept else out


def _obligations(obligation: Obligation) -> list[dict[str, Any] | None]:
    """Return an obligation in codes; None in it says that codes cannot express it."""
    match obligation["type"]:
        case "redact":
            return [_redact("codes", obligation["match"], removing=True)]
        case "permit-only":
            return [_redact("exceptAnyOfCodes", obligation["match"], removing=False)]
        case "no-redisclosure":
            return [{"id": {"system": ACT_CODE, "code": "NORDSCLCD"}}]
        case "notice":
            return []
    return [None]


def _redact(name: str, match: Mapping[str, Any], *, removing: bool) -> dict[str, Any] | None:
    codes = _codes(match, removing=removing)
    if not codes:
        return None
    return {
        "id": {"system": ACT_CODE, "code": "REDACT"},
        "parameters": {name: [{"system": system, "code": code} for system, code in codes]},
    }


def _codes(match: Mapping[str, Any], *, removing: bool) -> list[tuple[str, str]]:
    """Return every code that a match covers; [] where codes do not say the same."""
    if set(match) == {"any"}:
        found = [_codes(one, removing=removing) for one in match["any"]]
        return list(dict.fromkeys(code for one in found for code in one)) if all(found) else []
    if set(match) == {"securityLabel"}:
        covered = [
            code
            for one in mappings(match["securityLabel"])
            for code in _covered(label_of(one), removing=removing)
        ]
        return list(dict.fromkeys(covered))
    if set(match) == {"class"}:
        return [label_of(one) for one in mappings(match["class"])]
    return []


def _covered(label: tuple[str, str], *, removing: bool) -> list[tuple[str, str]]:
    """Return a label and what it reaches: upwards where it removes, downwards where it keeps."""
    system, code = label
    if system == CONFIDENTIALITY and code in RANK:
        rank = RANK[code]
        reached = [one for one in RANK if (RANK[one] >= rank if removing else RANK[one] <= rank)]
        return [(system, one) for one in sorted(reached, key=lambda one: abs(RANK[one] - rank))]
    if system == ACT_CODE:
        return [label, *((system, one) for one in PARENT if one != code and code in ancestors(one))]
    return [label]
