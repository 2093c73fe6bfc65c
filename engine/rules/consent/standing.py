"""Which consents count at all: whose they are, their status, what replaced them, who signed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from msgspec import Struct

from engine.fhir.dates import covers, moment, overlaps
from engine.rules.consent.codings import CONSENT_CATEGORY, CONSENT_SCOPE
from engine.rules.consent.compile import CompiledConsent, Effect, Provision
from engine.rules.consent.parties import comparable
from engine.rules.consent.purposes import RESEARCH
from engine.rules.consent.question import Question, read_under_own_policy
from engine.rules.consent.signing import grantor_problem, signature_problem

Mode = Literal["full", "deny-only", "refusal", "none"]

_SILENT = {
    "proposed": "it is only proposed",
    "draft": "it is a draft",
    "entered-in-error": "it was entered in error",
}
_NOT_DISCLOSURE = frozenset({"acd", "dnr", "emrgonly", "hcd", "polst"})


class Standing(Struct):
    """Say how far one consent counts, with the reason and the sender's code where not fully."""

    consent: CompiledConsent
    mode: Mode
    why: str | None = None
    code: str | None = None


def standings(consents: Sequence[CompiledConsent], question: Question) -> list[Standing]:
    """Return how far each consent counts; the answer does not depend on their order."""
    ordered = sorted(consents, key=_order) if len(consents) > 1 else consents
    found = [_alone(consent, question) for consent in ordered]
    if len(found) > 1:
        found = _latest(found)
        if len({consent.group_hash for consent in consents}) < len(consents):
            found = [_among(one, found, question) for one in found]
    return found


def _order(consent: CompiledConsent) -> tuple[Any, ...]:
    return (consent.signed or (0, 0), consent.name, consent.digest)


def _alone(consent: CompiledConsent, question: Question) -> Standing:
    """Judge one consent by itself."""
    if question.policy.by_category:
        question = read_under_own_policy(question, consent.category)
    if not consent.resource:
        return Standing(consent, "none", "it is no Consent")
    patient = _patient(consent, question)
    if patient is False:
        return Standing(consent, "none", "it is another patient's")
    if consent.status in _SILENT:
        return Standing(consent, "none", _SILENT[consent.status])
    scope: bool | None = True
    if not consent.about_privacy or question.scope or question.category:
        scope = _scope(consent, question)
    if scope is False:
        return Standing(consent, "none", "its scope or category is not the one asked about")
    if (when := consent.period) and not overlaps(when, question.at):
        return Standing(consent, "none", "it is not in force at this time", "consent-expired")
    if consent.status == "inactive":
        return Standing(consent, "none", "it has ended or was replaced", "consent-revoked")
    if consent.status == "rejected":
        return Standing(consent, "refusal", "the member refused it", "consent-denied")
    if why := _unclear(consent, question, patient, scope):
        return Standing(consent, "deny-only", why, "consent-unclear")
    if why := signature_problem(consent, question):
        return Standing(consent, "deny-only", why, "consent-unsigned")
    if why := grantor_problem(consent, question):
        return Standing(consent, "deny-only", why, "consent-grantor")
    return Standing(consent, "full")


def _unclear(
    consent: CompiledConsent, question: Question, patient: bool | None, scope: bool | None
) -> str | None:
    if consent.unclear:
        return consent.unclear
    if patient is None:
        return "whose it is cannot be told"
    if consent.status != "active":
        return "its status is not one that is known"
    if consent.unreadable_period:
        return "its period cannot be read"
    if consent.period is not None and not covers(consent.period, question.at):
        return "it is not in force at all of this time"
    return "its scope is not known" if scope is None else None


def _patient(consent: CompiledConsent, question: Question) -> bool | None:
    keys = consent.patient.keys
    if not keys.isdisjoint(question.patient):
        return True
    if not keys and not question.patient:
        return True
    if question.directory and keys:
        keys = question.directory.person(consent.patient)
        if not keys.isdisjoint(question.patient):
            return True
    return False if comparable(keys, question.patient) else None


def _scope(consent: CompiledConsent, question: Question) -> bool | None:
    """Tell whether a consent is about disclosure; None where its scope is not known."""
    if question.scope and consent.scope and question.scope.isdisjoint(consent.scope):
        return False
    if not _same_category(consent, question):
        return False
    codes = {key.code for key in consent.scope if key.system == CONSENT_SCOPE}
    if "patient-privacy" in codes or (question.scope and consent.scope):
        return True
    kinds = {key.code for key in consent.category if key.system in (CONSENT_CATEGORY, "")}
    if kinds & _NOT_DISCLOSURE or codes & {"treatment", "adr"}:
        return False
    if "research" in codes:
        return _research(consent, question)
    return None if consent.scope or _scope_in_words(consent) else True


def _scope_in_words(consent: CompiledConsent) -> bool:
    return bool(consent.resource.get("scope"))


def _research(consent: CompiledConsent, question: Question) -> bool | None:
    """A consent to research speaks of research; unasked purpose is clear only where codes say."""
    if question.purposes:
        return all(not RESEARCH.isdisjoint(concept) for concept in question.purposes)
    if question.policy.absent_purpose == "match" or question.content.codes:
        return True
    return None


def _same_category(consent: CompiledConsent, question: Question) -> bool:
    systems = {key.system for key in consent.category}
    asked = {key for key in question.category if key.system in systems}
    return not asked or not asked.isdisjoint(consent.category)


def _latest(found: Sequence[Standing]) -> list[Standing]:
    """Set aside older versions of the same consent where the versions say which is older."""
    if len({str(one.consent.resource.get("id") or id(one)) for one in found}) == len(found):
        return list(found)
    by_id: dict[str, list[Standing]] = {}
    for one in found:
        if one.consent.resource.get("id") and one.why != "it is another patient's":
            by_id.setdefault(str(one.consent.resource["id"]), []).append(one)
    older = {
        id(one)
        for same in by_id.values()
        if len(same) > 1
        for one in same
        if any(_version(other) > _version(one) for other in same if _version(one))
    }
    return [
        Standing(one.consent, "none", "a later version of it is known") if id(one) in older else one
        for one in found
    ]


def _version(standing: Standing) -> tuple[int, ...]:
    meta = standing.consent.resource.get("meta")
    if not isinstance(meta, dict):
        return ()
    version, updated = meta.get("versionId"), meta.get("lastUpdated")
    if isinstance(version, str) and version.isascii() and version.isdigit():
        return (int(version),)
    found = moment(updated) if isinstance(updated, str) else None
    return (0, found[0]) if found else ()


def _among(one: Standing, found: Sequence[Standing], question: Question) -> Standing:
    """Judge one consent beside the others of its kind: a later one replaces it."""
    if one.mode not in ("full", "deny-only"):
        return one
    consent = one.consent
    others = [
        other
        for other in found
        if other.consent is not consent
        and other.consent.group == consent.group
        and other.why != "it is another patient's"
        and other.consent.status in ("active", "inactive", "rejected")
    ]
    if not others:
        return one
    if one.mode == "full" and consent.signed is None:
        why = "it has no date, so it cannot be told whether another replaced it"
        return Standing(consent, "deny-only", why, "consent-unclear")
    later = [other for other in others if _later(other.consent, consent, question)]
    if any(_supersedes(other, question) for other in later):
        return Standing(consent, "none", "a later consent replaced it", "consent-revoked")
    if one.mode == "full" and any(_replaces(other) for other in later):
        why = "a later consent of its kind replaced what it permits"
        return Standing(consent, "deny-only", why, "consent-revoked")
    return one


def _later(other: CompiledConsent, consent: CompiledConsent, question: Question) -> bool:
    if other.signed is None or consent.signed is None:
        return False
    return other.signed[0] >= consent.signed[1] and other.signed[0] <= question.at[0]


def _replaces(other: Standing) -> bool:
    """Tell whether a later consent ends what an earlier one permits: a signed one does."""
    return other.consent.status != "active" or other.code not in (
        "consent-unsigned",
        "consent-grantor",
    )


def _supersedes(other: Standing, question: Question) -> bool:
    """Tell whether a later consent ends what an earlier one denies too: only one that permits."""
    return (
        other.mode == "full"
        and any(_permits_something(root, other.consent.base) for root in other.consent.roots)
        and any(_in_force(root, question) for root in other.consent.roots)
    )


def _permits_something(provision: Provision, default: Effect | None) -> bool:
    effect: Effect = provision.effect or default or "deny"
    if effect == "permit":
        return True
    return any(_permits_something(child, "permit") for child in provision.children)


def _in_force(root: Provision, question: Question) -> bool:
    if root.period is None:
        return not root.unreadable_period
    return covers(root.period, question.at)
