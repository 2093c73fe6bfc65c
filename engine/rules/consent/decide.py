"""The consent decision: a request, the member's consents and an instant in, a Decision out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, cast

from engine.errors import ProjectError
from engine.rules.consent.combine import grounds, obligations
from engine.rules.consent.compile import CompiledConsent, compile_consent
from engine.rules.consent.directory import Directory, Party
from engine.rules.consent.evaluate import Finding, evaluate, evaluate_refusal
from engine.rules.consent.explain import basis_of, considered_of
from engine.rules.consent.match import ACTION, CONTENT, PERIOD, PURPOSE, RECIPIENT, SENDER
from engine.rules.consent.policy import Policy
from engine.rules.consent.question import (
    Asked,
    Question,
    Recipient,
    flattened,
    instant,
    question_of,
    read_request,
    read_under_own_policy,
)
from engine.rules.consent.standing import Standing, standings
from engine.rules.decision import (
    Basis,
    Considered,
    Decision,
    Obligation,
    Reasons,
    RecipientVerdict,
    Verdict,
)

_PROGRESS = (
    "consent-missing",
    "consent-revoked",
    "consent-expired",
    "consent-sender",
    "consent-recipient",
    "consent-action",
    "consent-purpose",
    "consent-denied",
    "consent-grantor",
    "consent-unsigned",
    "consent-unclear",
)
"""Codes by how near a consent came to permitting: the nearest names the reason to the sender."""

_MISSED = {
    PERIOD: "consent-expired",
    SENDER: "consent-sender",
    RECIPIENT: "consent-recipient",
    ACTION: "consent-action",
    PURPOSE: "consent-purpose",
    CONTENT: "consent-denied",
}
_PART_2 = frozenset({"SUD", "ETH", "ETHUD", "OPIOIDUD"})


def decide(
    request: Mapping[str, Any],
    consents: Sequence[Any],
    supporting: Sequence[Any] = (),
    *,
    at: str,
    policy: Policy | Mapping[str, Any] | None = None,
) -> Decision:
    """Decide whether this may be disclosed to this recipient for this purpose at this instant.

    `request` has the shape of CONSENT.md; `consents` are Consent resources (R4 or R5), Bundles of
    them, or what `compile_consent` made of them; `supporting` holds the people and organizations
    that references lead to. `at` is a FHIR instant, or a date, which must be covered wholly.
    Nothing is read from clock, disk or network, and the arguments are not changed.
    ValueError: `at` is no date. ProjectError: the policy is not one. Bad consents are no errors;
    whatever fails on the way to a decision is a deny with `consent-unclear`.
    """
    switches = policy if isinstance(policy, Policy) else _policy(policy)
    now = instant(at, switches)
    try:
        compiled, beside = _apart(consents, switches.zone)
        directory = Directory([*flattened(supporting), *beside], now, switches.zone)
        return answer(read_request(request, switches), compiled, directory, at=at, policy=switches)
    except Exception:
        return _unclear(at, switches)


def answer(
    asked: Asked,
    consents: Sequence[CompiledConsent],
    directory: Directory,
    *,
    at: str,
    policy: Policy,
) -> Decision:
    """Decide as `decide`, where everything was read already, under the same policy."""
    try:
        question = question_of(asked, directory, at, policy)
        found = standings(consents, question)
        return _decision(_answers(found, question), found, at, question, asked.stated)
    except Exception:
        return _unclear(at, policy)


def _unclear(at: str, policy: Policy) -> Decision:
    return Decision("deny", "consent-unclear", (), (), at, policy)


def _apart(consents: Sequence[Any], zone: str) -> tuple[list[CompiledConsent], list[Any]]:
    """Return the consents, compiled, and what came along beside them."""
    if isinstance(consents, list | tuple):
        given = [one for one in consents if type(one) is CompiledConsent and one.zone == zone]
        if len(given) == len(consents):
            return given, []
    listed = flattened(consents)
    compiled = [_compiled(one, zone) for one in listed if not _is_other(one)]
    return compiled, [one for one in listed if _is_other(one)]


def _is_other(given: Any) -> bool:
    """Tell whether a Bundle of consents brought something else along, such as an Organization."""
    return isinstance(given, dict) and given.get("resourceType", "Consent") != "Consent"


def _policy(given: Mapping[str, Any] | None) -> Policy:
    policy, problems = Policy.parse(given)
    if policy is None:
        raise ProjectError(problems)
    return policy


def _compiled(given: Any, zone: str) -> CompiledConsent:
    if isinstance(given, CompiledConsent):
        return given if given.zone == zone else compile_consent(given.resource, zone)
    return compile_consent(given, zone)


def _answers(found: Sequence[Standing], question: Question) -> list[_Answer]:
    """Answer for each recipient; two names of one party get one ruling."""
    rulings: dict[Any, _Ruling] = {}
    answers = []
    for recipient in question.recipients:
        party = recipient.party
        who = party.reach if party is not None else None
        if who not in rulings:
            rulings[who] = _Ruling(found, question, party)
        answers.append(_Answer(recipient, rulings[who]))
    return answers


class _Answer(NamedTuple):
    """Say how one recipient is ruled on."""

    recipient: Recipient
    ruling: _Ruling


class _Ruling:
    """Answer the question for one party."""

    __slots__ = ("_considered", "code", "findings", "grounds", "obligations", "verdict")

    def __init__(self, found: Sequence[Standing], question: Question, party: Party | None) -> None:
        self._considered: list[Considered] | None = None
        self.findings: list[tuple[Standing, Finding | None]] = [
            (standing, _finding(standing, question, party)) for standing in found
        ]
        spoken = [finding for _, finding in self.findings if finding is not None]
        self.grounds = grounds(spoken, question.policy.combine)
        self.obligations: list[Obligation] = []
        self.verdict, self.code = self._judge(question.policy)
        if self.verdict == "permit":
            self.obligations = obligations(self.grounds) if spoken else []

    def considered(self) -> list[Considered]:
        """Return what was looked at, and why it did or did not apply."""
        if self._considered is None:
            self._considered = [
                entry
                for standing, finding in self.findings
                for entry in considered_of(standing, finding)
            ]
        return self._considered

    def _judge(self, policy: Policy) -> tuple[Verdict, str | None]:
        if any(finding is not None and finding.failed for _, finding in self.findings):
            return "deny", "consent-unclear"
        able = [ground for ground in self.grounds if ground.permits and not ground.refused]
        if able:
            self.grounds = able
            return "permit", None
        if any(ground.refused for ground in self.grounds):
            return "deny", "consent-denied"
        if self._unclear():
            return "deny", "consent-unclear"
        if policy.default == "permit" and not self._spoken():
            return "permit", None
        if any(ground.denies for ground in self.grounds):
            return "deny", "consent-denied"
        return "no-consent", self._nearest()

    def _unclear(self) -> bool:
        return any(
            finding is not None
            and finding.blocked is not None
            and (finding.blocked or standing.code == "consent-unclear")
            for standing, finding in self.findings
        )

    def _spoken(self) -> bool:
        """Tell whether a consent says what of this content may pass, if not this."""
        return any(
            finding is not None and (finding.permits or finding.missed == CONTENT)
            for _, finding in self.findings
        )

    def _nearest(self) -> str:
        codes = {_code(standing, finding) for standing, finding in self.findings}
        return max(codes, key=_PROGRESS.index, default="consent-missing")


def _finding(standing: Standing, question: Question, party: Party | None) -> Finding | None:
    """Evaluate one consent; where that fails, all is denied: nobody knows what it holds back."""
    if standing.mode == "none":
        return None
    if question.policy.by_category:
        question = read_under_own_policy(question, standing.consent.category)
    try:
        if standing.mode == "refusal":
            return evaluate_refusal(standing.consent, question, party)
        return evaluate(standing.consent, question, party, may_permit=standing.mode == "full")
    except Exception:
        return Finding(standing.consent, blocked="it could not be evaluated", failed=True)


def _code(standing: Standing, finding: Finding | None) -> str:
    if finding is None or standing.mode == "refusal":
        return standing.code or "consent-missing"
    if finding.blocked is not None:
        return standing.code or "consent-unclear"
    return _MISSED.get(finding.missed or "", standing.code or "consent-missing")


def _decision(
    answers: Sequence[_Answer],
    found: Sequence[Standing],
    at: str,
    question: Question,
    request: Mapping[str, Any],
) -> Decision:
    policy = question.policy
    dropping = policy.partial_recipients == "drop"
    passing = [answer for answer in answers if answer.ruling.verdict == "permit"]
    kept = passing if passing and (dropping or len(passing) == len(answers)) else list(answers)
    rulings = list({id(answer.ruling): answer.ruling for answer in kept}.values())
    verdict, code = _overall(rulings)
    several = len(answers) > 1
    due: list[Obligation] = []
    dropped: list[_Answer] = []
    if verdict == "permit":
        due = _joined(rulings)
        if len(kept) < len(answers):
            dropped = [one for one in answers if one.ruling.verdict != "permit"]
        for one in dropped:
            due.append({"type": "drop-recipient", "recipient": dict(one.recipient.given)})
        due += _handling(rulings, question)
    return Decision(
        decision=verdict,
        code=code,
        obligations=tuple(due),
        basis=Reasons(partial(_basis, kept, verdict, several)),
        at=at,
        policy=policy,
        recipients=tuple(
            [
                RecipientVerdict(
                    one.recipient.given, one.ruling.verdict, one.ruling.code, one in dropped
                )
                for one in answers
                if one.recipient.party is not None
            ]
        ),
        consents=tuple([standing.consent.name for standing in found]),
        trace=_Trace(answers, several),
        asked=request,
    )


def _overall(kept: Sequence[_Ruling]) -> tuple[Verdict, str | None]:
    for verdict in ("deny", "no-consent"):
        for ruling in kept:
            if ruling.verdict == verdict:
                return cast(Verdict, verdict), ruling.code
    return "permit", None


def _joined(kept: Sequence[_Ruling]) -> list[Obligation]:
    """Return the obligations of all recipients: content leaves only if it may go to each."""
    due: list[Obligation] = []
    for ruling in kept:
        due += [one for one in ruling.obligations if one not in due]
    return due


def _handling(kept: Sequence[_Ruling], question: Question) -> list[Obligation]:
    labels = question.content.labels
    if labels is None or labels.sensitivities.isdisjoint(_PART_2):
        consents = [
            finding.consent
            for ruling in kept
            for ground in ruling.grounds
            for finding in ground.findings
            if finding.permits
        ]
        if not any(_speaks_of_part_2(one) for one in consents):
            return []
    notice = {"type": "notice", "code": "42-cfr-part-2", "citation": "42 CFR 2.32"}
    return [notice, {"type": "no-redisclosure"}]


def _speaks_of_part_2(consent: CompiledConsent) -> bool:
    return consent.part_2 or not _PART_2.isdisjoint(consent.permitted_sensitivities)


def _basis(kept: Sequence[_Answer], verdict: Verdict, several: bool) -> list[Basis]:
    found: list[Basis] = []
    for answer in kept:
        if answer.ruling.verdict == verdict:
            shown = answer.recipient.shown if several else None
            for ground in answer.ruling.grounds:
                found += [one for one in basis_of(ground, verdict, shown) if one not in found]
    return found


@dataclass(slots=True)
class _Trace:
    """Build the trace when somebody reads it; two names of one recipient are told of once."""

    answers: Sequence[_Answer]
    several: bool

    def __call__(self) -> list[Considered]:
        if not self.several:
            return self.answers[0].ruling.considered()
        found = [
            entry.towards(answer.recipient.shown)
            for answer in self.answers
            for entry in answer.ruling.considered()
        ]
        return list(dict.fromkeys(found))
