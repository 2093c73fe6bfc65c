"""Who signed a consent, on what evidence, with what authority, and whether before the outreach."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.fhir.dates import END, Interval, birthday, covers, moment, period
from engine.rules.consent import authority
from engine.rules.consent.codings import listed, mappings
from engine.rules.consent.directory import Directory
from engine.rules.consent.entry import Entry, entry_of, own_keys
from engine.rules.consent.parties import Name, name_of
from engine.rules.consent.policy import Policy

if TYPE_CHECKING:
    from engine.rules.consent.compile import CompiledConsent
    from engine.rules.consent.question import Question

_WHOLE_DATE = len("2000-01-01")
_VOID = frozenset({"entered-in-error", "cancelled", "rejected", "revoked", "superseded"})


def signers(given: Mapping[str, Any]) -> list[Any]:
    """Return who agreed: R4 `performer`, R5 `grantor`."""
    return [*listed(given.get("performer")), *listed(given.get("grantor"))]


@dataclass(frozen=True, slots=True)
class Evidence:
    """Hold what a consent itself shows of its signature.

    `verified` is what its verifications say, `attached` whether it carries or points by URL to the
    form, `sources` names the resources that it refers to as its form.
    """

    verified: bool | None
    attached: bool
    sources: tuple[Name, ...]


def evidence_in(given: Mapping[str, Any], zone: str) -> Evidence:
    """Read what a consent shows of its signature."""
    attached = any(
        attachment.get(element)
        for attachment in mappings(given.get("sourceAttachment"))
        for element in ("url", "data", "hash")
    )
    sources = (name_of(one) for one in mappings(given.get("sourceReference")))
    return Evidence(_verified(given, zone), attached, tuple(one for one in sources if one.keys))


def signature_problem(consent: CompiledConsent, question: Question) -> str | None:
    """Say why the consent does not count as signed before the outreach; None where it does."""
    policy = question.policy
    if policy.signature == "ignored":
        return None
    if consent.unreadable_signed:
        return "the date of signing cannot be read"
    if consent.signed is None:
        if policy.signature == "required":
            return "it does not say when it was signed"
    elif consent.signed[0] > question.outreach[0]:
        return "it was signed after the outreach"
    elif not consent.signed_to_the_day and consent.signed[1] > question.outreach[0]:
        return "its date of signing does not show that it was signed before the outreach"
    verdict = consent.evidence.verified
    if verdict is False:
        return "its verification says that it was not confirmed"
    if policy.signature == "required" and not (verdict or _evidence(consent, question.directory)):
        return "there is no evidence of signature"
    return None


def _verified(given: Mapping[str, Any], zone: str) -> bool | None:
    """Return what the latest verification says; where the order is unknown, any `false` counts."""
    stated = [one for one in mappings(given.get("verification")) if "verified" in one]
    if not stated:
        return None
    dated = [
        (moment(date, zone), one.get("verified"))
        for one in stated
        for date in listed(one.get("verificationDate"))[-1:]
        if isinstance(date, str)
    ]
    known = [(when, verified) for when, verified in dated if when]
    if len(known) == len(stated):
        latest = max(when for when, _ in known)
        return all(verified is True for when, verified in known if when == latest)
    return all(one.get("verified") is True for one in stated)


def _evidence(consent: CompiledConsent, directory: Directory) -> bool:
    if consent.evidence.attached:
        return True
    if not directory:
        return bool(consent.evidence.sources)
    for name in consent.evidence.sources:
        forms = directory.found(name.keys)
        if not any(str(one.resource.get("status")) in _VOID for one in forms):
            return True
    return _signed_by_provenance(consent.resource, directory)


def _signed_by_provenance(given: Mapping[str, Any], directory: Directory) -> bool:
    if not isinstance(given.get("id"), str):
        return False
    own = own_keys({"resourceType": "Consent", **given})
    return any(
        name_of(target).keys & own
        for entry in directory.of_type("Provenance")
        if _bears_signature(entry.resource)
        for target in mappings(entry.resource.get("target"))
    )


def _bears_signature(provenance: Mapping[str, Any]) -> bool:
    signatures = mappings(provenance.get("signature"))
    return any(one.get("data") or one.get("who") for one in signatures)


class _Grant(NamedTuple):
    """Say why one person could not agree, or None; a guardian's `lapses` when the member is of age.

    It is said of the day of signing, so it is the same at every later moment.
    """

    problem: str | None
    lapses: int = END

    def at(self, moment: Interval) -> str | None:
        if self.problem is None and moment[1] > self.lapses:
            return "the member has come of age since it was signed for them"
        return self.problem


def grantor_problem(consent: CompiledConsent, question: Question) -> str | None:
    """Say why nobody with the right to do so agreed; None where somebody did."""
    policy = question.policy
    if policy.grantor == "ignored":
        return None
    for one in consent.signers:
        if one.type == "Patient" and not one.keys.isdisjoint(question.patient):
            return None
    if not consent.signers:
        return "it does not say who agreed to it"
    read = partial(_grants, consent, question)
    if consent.signed is None:
        grants = read()
    else:
        name = (consent, question.patient, policy.majority_age, policy.zone)
        grants = question.directory.once(name, read)
    problems = [grant.at(question.at) for grant in grants]
    return None if None in problems else problems[0]


def _grants(consent: CompiledConsent, question: Question) -> list[_Grant]:
    signed = consent.signed or question.outreach
    return [grant for one in consent.signers for grant in _granted(one, consent, question, signed)]


def _granted(
    name: Name, consent: CompiledConsent, question: Question, signed: Interval
) -> list[_Grant]:
    """Return what each person of that name could grant on the day of signing."""
    member = question.patient | consent.patient.keys
    if name.keys & member and name.type in (None, "Patient"):
        return [_Grant(None)]
    contained = [
        entry_of(one)
        for one in mappings(consent.resource.get("contained"))
        if f"#{one.get('id')}" in name.keys
    ]
    found = [*contained, *question.directory.found(name.keys)]
    people = [one for one in found if one.kind == "RelatedPerson"]
    if not people:
        return [_Grant("who agreed to it is neither the member nor known to act for the member")]
    return [_related(person, member, question, signed) for person in people]


def _related(person: Entry, member: frozenset[str], question: Question, signed: Interval) -> _Grant:
    policy = question.policy
    if person.related.isdisjoint(member):
        return _Grant("who agreed to it is related to somebody else")
    codes = person.relationship
    if not codes & (authority.GUARDIAN | authority.ATTORNEY | authority.PARENT):
        return _Grant("who agreed to it has no authority over the member")
    if not _was_active(person.resource, signed, policy.zone):
        return _Grant("who agreed to it had no authority on the day of signing")
    if codes & authority.ATTORNEY:
        return _Grant(None)
    majority = _majority(question.patient, question.directory, policy)
    guardian = bool(codes & authority.GUARDIAN)
    if majority is None:
        return _Grant(None if guardian else "the member's age is not known")
    if signed[0] < majority[0]:
        return _Grant(None, majority[0])
    if signed[0] < majority[1]:
        return _Grant("it is not known whether the member was of age when it was signed")
    return _Grant(None if guardian else "the member was of age when it was signed")


def _was_active(person: Mapping[str, Any], when: Interval, zone: str) -> bool:
    stated = person.get("period")
    if stated is None:
        return person.get("active") is not False
    found = period(stated, zone)
    if found is None:
        return False
    ended = isinstance(stated, dict) and stated.get("end")
    return covers(found, when) and bool(person.get("active") is not False or ended)


def _majority(patient: frozenset[str], directory: Directory, policy: Policy) -> Interval | None:
    """Return the first and the last moment at which the member may come of age."""
    found = (
        one.resource.get("birthDate") for one in directory.found(patient) if one.kind == "Patient"
    )
    born = {date for date in found if isinstance(date, str)}
    days = {date: birthday(date, policy.majority_age, policy.zone) for date in born}
    known = [(day[0], day[len(date) < _WHOLE_DATE]) for date, day in days.items() if day]
    if not known:
        return None
    return min(first for first, _ in known), max(last for _, last in known)


def carries_authority(
    name: Name, patient: frozenset[str], directory: Directory, policy: Policy, at: Interval
) -> bool:
    """Tell whether a recipient is a guardian, attorney, or parent of the minor member, now."""
    people = directory.of_type("RelatedPerson")
    named = [person for person in people if not person.keys.isdisjoint(name.keys)]
    return any(_guards(person, patient, directory, policy, at) for person in named)


def _guards(
    person: Entry, patient: frozenset[str], directory: Directory, policy: Policy, at: Interval
) -> bool:
    codes = person.relationship
    if person.related.isdisjoint(patient) or not directory.in_force(person):
        return False
    if codes & (authority.ATTORNEY | authority.GUARDIAN):
        return True
    majority = _majority(patient, directory, policy)
    return bool(codes & authority.PARENT and majority and at[1] <= majority[0])
