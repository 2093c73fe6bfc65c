"""One consent against one disclosure: what it permits, what it denies, of which content."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from engine.rules.consent.codings import CONFIDENTIALITY
from engine.rules.consent.compile import CompiledConsent, Effect, Provision, Scope
from engine.rules.consent.criteria import Content, Criterion, LabelCriterion, states_content
from engine.rules.consent.directory import Party
from engine.rules.consent.match import CONTENT, PURPOSE, UNCLEAR, for_some, gate
from engine.rules.consent.question import Question
from engine.rules.security_label import RANK

Match = dict[str, Any]
"""The content that is meant, in the shape of `engine.rules.decision`; `{}` is all of it."""

_INVERSE: dict[Effect, Effect] = {"permit": "deny", "deny": "permit"}


class Permit(Struct):
    """Hold content that a provision permits."""

    match: Match
    provision: Provision


class Deny(Struct):
    """Hold content that a provision denies, without what its nested permits except."""

    match: Match
    provision: Provision
    exceptions: list[Match] = []

    @property
    def total(self) -> bool:
        """Tell whether everything is denied."""
        return not self.match and not self.exceptions


class Finding(Struct):
    """Hold what one consent says to one question about one recipient.

    `blocked` says why it cannot permit what it otherwise would; `missed` is the criterion that
    kept its root from applying; `trace` holds each provision looked at and what kept it. `failed`
    says that what it denies could not be worked out.
    """

    consent: CompiledConsent
    permits: list[Permit] = []
    denies: list[Deny] = []
    blocked: str | None = None
    missed: str | None = None
    trace: list[tuple[Provision, Effect, str | None]] = []
    failed: bool = False

    @property
    def applies(self) -> bool:
        """Tell whether the consent permits or denies anything here."""
        return bool(self.permits or self.denies)


def evaluate(
    consent: CompiledConsent, question: Question, recipient: Party | None, *, may_permit: bool
) -> Finding:
    """Walk the provisions of a consent; with `may_permit` false only its denies count."""
    finding = Finding(consent)
    walk = _Walk(finding, question, recipient, may_permit)
    for root in consent.roots:
        walk.root(root, root.effect or consent.base or "permit")
    if not consent.roots:
        finding.blocked = "it says neither permit nor deny"
    if consent.regular is not None and finding.permits:
        _keep_regular(finding, consent.regular, question.content)
    return finding


def _keep_regular(finding: Finding, regular: LabelCriterion, content: Content) -> None:
    """Let HRex `#regular` permit only what is neither sensitive nor restricted."""
    held = regular.holds(content, True)
    if held:
        finding.permits, finding.missed = [], CONTENT
    elif held is None:
        for permit in finding.permits:
            permit.match = {**permit.match, "not": [{"securityLabel": regular.stated}]}


def evaluate_refusal(
    consent: CompiledConsent, question: Question, recipient: Party | None
) -> Finding:
    """Read a recorded refusal (`rejected`): a deny of everything that its root speaks of."""
    finding = Finding(consent)
    walk = _Walk(finding, question, recipient, may_permit=False)
    for root in consent.refused:
        kept = gate(root, True, question, recipient)
        finding.trace.append((root, "deny", kept))
        if kept is None:
            walk.deny(root, _stated(root, True))
        else:
            finding.missed = kept
    return finding


def _stated(provision: Provision, denying: bool) -> Scope:
    return provision.deny_scope if denying else provision.permit_scope


class _Walk:
    """Walk one consent's provisions; one per consent and recipient."""

    __slots__ = (
        "_doubtful",
        "_explicit",
        "_finding",
        "_may_permit",
        "_own",
        "_question",
        "_recipient",
    )

    def __init__(
        self, finding: Finding, question: Question, recipient: Party | None, may_permit: bool
    ) -> None:
        self._finding, self._question, self._recipient = finding, question, recipient
        self._may_permit = may_permit
        self._doubtful = False
        self._explicit = question.policy.nested_type == "explicit"
        self._own = question.policy.nested_purpose == "own"

    def root(self, provision: Provision, effect: Effect) -> None:
        denying = effect == "deny"
        kept = gate(provision, denying, self._question, self._recipient)
        self._finding.trace.append((provision, effect, kept))
        scope = _stated(provision, denying)
        if kept is not None:
            self._finding.missed = kept
            if kept is UNCLEAR:
                self._finding.blocked = provision.unclear or "the role of its actor is not clear"
            if provision.children:
                self._kept(provision, effect, scope, kept)
            return
        if denying:
            self._denied(provision, scope)
        else:
            self._permit(provision, scope)
            self._exceptions(provision, scope)

    def _kept(self, provision: Provision, effect: Effect, scope: Scope, kept: str) -> None:
        """Look at what is nested in a provision that does not apply, or perhaps does.

        Where nobody knows whether a permit applies, or it does for some of the purposes asked,
        what is denied inside it holds all the same.
        """
        before, missed, sure = self._doubtful, kept, kept
        if effect == "permit" and kept is not PURPOSE:
            missed = gate(provision, True, self._question, self._recipient) or ""
        some = missed is PURPOSE and for_some(provision, self._question)
        perhaps = effect == "permit" and (some or not missed)
        own = missed is PURPOSE and self._own
        if not perhaps and not (own and any(c.permits is not None for c in provision.children)):
            return
        if effect == "deny":
            sure = gate(provision, False, self._question, self._recipient) or ""
        doubtful = before or bool(provision.unclear) or sure is not PURPOSE
        for child in provision.children:
            own_purpose = own and child.permits is not None
            self._doubtful = doubtful or not own_purpose
            if own_purpose or perhaps:
                self._nested(child, effect, scope, None, False, only_own_purpose=own_purpose)
        self._doubtful = before

    def _denied(self, provision: Provision, scope: Scope, under_permit: bool = False) -> None:
        """Deny, and look at what is nested: it permits nothing where only perhaps this applies."""
        entry = self.deny(provision, scope)
        if not provision.children:
            return
        sure, before = gate(provision, False, self._question, self._recipient), self._doubtful
        for child in provision.children:
            own_purpose = sure is PURPOSE and self._own and child.permits is not None
            doubtful = provision.unclear or not (sure is None or own_purpose)
            self._doubtful = before or bool(doubtful)
            self._nested(child, "deny", scope, entry, under_permit)
        self._doubtful = before

    def _region(self, provision: Provision, scope: Scope, *, denying: bool) -> Match | None:
        """Return the content that is meant; where the request states none, it is known already."""
        if not scope:
            return {}
        alone = provision.deny_scope if denying else provision.permit_scope
        content = self._question.content
        if scope is alone and provision.readable and not states_content(content):
            return dict(provision.residual)
        return region(scope, content, denying=denying)

    def deny(self, provision: Provision, scope: Scope) -> Deny | None:
        match = self._region(provision, scope, denying=True)
        if match is None:
            return None
        entry = Deny(match, provision)
        self._finding.denies.append(entry)
        return entry

    def _permit(self, provision: Provision, scope: Scope) -> None:
        if self._doubtful:
            return
        match = self._region(provision, scope, denying=False)
        if match is None:
            self._finding.missed = CONTENT
        elif self._may_permit:
            self._finding.permits.append(Permit(match, provision))
        else:
            self._finding.blocked = self._finding.blocked or ""

    def _exceptions(self, permit: Provision, scope: Scope) -> None:
        for child in permit.children:
            self._nested(child, "permit", scope, None, under_permit=True)

    def _nested(
        self,
        child: Provision,
        effect: Effect,
        scope: Scope,
        entry: Deny | None,
        under_permit: bool,
        only_own_purpose: bool = False,
    ) -> None:
        stated = self._explicit and child.effect is not None
        own = child.effect if stated and child.effect else _INVERSE[effect]
        if only_own_purpose and (child.permits is None or not (stated or own == "deny")):
            return
        self._child(child, own, stated, scope, entry, under_permit)
        if only_own_purpose and self._finding.permits:
            self._write_out_lower(child, scope)

    def _child(
        self,
        child: Provision,
        effect: Effect,
        stated: bool,
        inherited: Scope,
        entry: Deny | None,
        under_permit: bool,
    ) -> None:
        denying = effect == "deny"
        kept = gate(child, denying, self._question, self._recipient)
        self._finding.trace.append((child, effect, kept))
        scope = _narrowed(inherited, child, denying, replacing=stated)
        if kept is not None:
            if child.children:
                self._kept(child, effect, scope, kept)
            return
        if denying:
            self._denied(child, scope, under_permit)
            return
        if entry is not None:
            self._except(child, entry)
        if stated or not under_permit:
            self._permit(child, scope)
        self._exceptions(child, scope)

    def _write_out_lower(self, child: Provision, inherited: Scope) -> None:
        """Name the parent's levels beside a child's higher one, which covers them, as PCF does."""
        permit = self._finding.permits[-1]
        if permit.provision is not child or "securityLabel" not in permit.match:
            return
        own = next(one for one in child.criteria if isinstance(one, LabelCriterion))
        for criterion, by_deny in inherited:
            if isinstance(criterion, LabelCriterion) and not by_deny and own.above(criterion):
                both = [*criterion.stated, *own.stated]
                permit.match = {**permit.match, "securityLabel": both}

    def _except(self, child: Provision, entry: Deny) -> None:
        if not self._may_permit or self._doubtful:
            return
        match = self._region(child, child.permit_scope, denying=False)
        if match is not None:
            entry.exceptions.append(match)


def _narrowed(inherited: Scope, child: Provision, denying: bool, *, replacing: bool) -> Scope:
    """Return the criteria in force in a nested provision.

    One with a type of its own replaces what it states anew; an exception stays inside its parent.
    """
    own = _stated(child, denying)
    if not inherited:
        return own
    if replacing or denying:
        names = child.residual
        inherited = tuple([item for item in inherited if item[0].name not in names])
        if not inherited:
            return own
    return inherited + own


def region(scope: Scope, content: Content, *, denying: bool) -> Match | None:
    """Return the content that criteria leave: `{}` is all of it, None is none of it."""
    match: Match = {}
    for criterion, by_deny in scope:
        if denying and not by_deny:
            held = criterion.holds(content, False)
            if held is None and criterion.name == "securityLabel":
                continue
        elif by_deny and not denying and isinstance(criterion, LabelCriterion):
            held = criterion.reaches(content)
        else:
            held = criterion.holds(content, denying)
        if held is False:
            return None
        if held is None:
            _add(match, _residual(criterion, inverted=by_deny and not denying))
    return match


def _residual(criterion: Criterion, *, inverted: bool) -> Match:
    if inverted and isinstance(criterion, LabelCriterion):
        return {"securityLabelIn": _levels(criterion)}
    return {criterion.name: criterion.stated}


def _levels(criterion: LabelCriterion) -> list[Any]:
    """Write out the levels that a deny reaches: those stated and higher."""
    lowest = min(criterion.labels.ranks, default=len(RANK))
    levels = [
        {"system": CONFIDENTIALITY, "code": code} for code, rank in RANK.items() if rank >= lowest
    ]
    stated = [one for one in criterion.stated if not _is_level(one)]
    return [*levels, *stated]


def _is_level(coding: Any) -> bool:
    code = coding.get("code") if isinstance(coding, dict) else coding
    return code in RANK


def _add(match: Match, more: Match) -> None:
    for name, stated in more.items():
        if name not in match:
            match[name] = stated
        elif match[name] != stated:
            match.setdefault("all", []).append({name: stated})
