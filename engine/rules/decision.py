"""What the rules answer: a verdict with its reasons, its obligations and its record.

Obligations
===========
`Decision.obligations` is an ordered tuple of plain mappings; **each one only ever removes**, so a
piece of content leaves exactly if no obligation removes it:

``{"type": "redact", "match": M}``
    removes every piece of content that M matches.
``{"type": "permit-only", "match": M}``
    removes every piece of content that M does not match.
``{"type": "drop-recipient", "recipient": {...}}``
    this recipient (as the request named it) must not be sent to; only under
    `partial_recipients: drop`.
``{"type": "notice", "code": "42-cfr-part-2", "citation": "42 CFR 2.32"}``
    the notice text travels with the payload.
``{"type": "no-redisclosure"}``
    the recipient may not pass the content on.

A match M is a mapping; everything in it must hold (AND), several values of one criterion are
alternatives (OR), `{}` matches everything:

* `securityLabel`: [Coding], `class`: [Coding] (resource or document type), `code`: [Coding or
  CodeableConcept], `dataPeriod`: Period (age of the content), `data`: [{meaning, reference}] with
  meaning `instance | related | dependents | authoredby`: as the consent states them.
* `securityLabelIn`: [Coding]: exactly these confidentiality levels, or these sensitivities with
  what is under them; no "and lower", no "and higher".
* `any`: [M, ...] at least one; `all`: [M, ...] every one; `not`: [M, ...] none of them.

Confidentiality in `securityLabel` is ordered V > R > N > M > L > U: where the match *keeps*
(permit-only) a level covers itself and lower, where it *removes* (redact) itself and higher;
inside `not` the two change places. Content with several levels has the highest. A sensitivity
code covers itself and what is under it; content with several sensitivities is kept only where all
of them are listed, and removed where any is. Content without a confidentiality under a match that
states one, or without any label under a match that states labels, is removed by both kinds
(`unlabelled: withhold`) or by neither (`unlabelled: pass`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, overload

from msgspec import Struct

from engine.diagnostics import CODES, Diagnostic

if TYPE_CHECKING:
    from engine.rules.consent.policy import Policy

Verdict = Literal["permit", "deny", "no-consent"]
"""`no-consent` means that no consent applied; for sending it counts as deny."""

Obligation = Mapping[str, Any]
"""One obligation in the shape of the module's docstring."""


class Basis(Struct, frozen=True):
    """Name one provision that the verdict rests on.

    `consent` is `Consent/<id>/_history/<version>` (`Consent/<id>` where no version is known),
    `provision` a path (`provision.provision[1]`), `recipient` the one it speaks of, as text.
    """

    consent: str
    provision: str
    effect: Literal["permit", "deny"]
    why: str
    recipient: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Render in the shape of an entry of `basis`."""
        out: dict[str, Any] = {
            "consent": self.consent,
            "provision": self.provision,
            "effect": self.effect,
            "why": self.why,
        }
        if self.recipient:
            out["recipient"] = self.recipient
        return out


class Considered(Struct, frozen=True):
    """Say of one consent (`provision` None) or provision whether it applied, and why."""

    consent: str
    provision: str | None
    applied: bool
    why: str
    recipient: str | None = None

    def towards(self, recipient: str) -> Considered:
        """Return the same as said of one of several recipients."""
        return Considered(self.consent, self.provision, self.applied, self.why, recipient)

    def to_json(self) -> dict[str, Any]:
        """Render in the shape of an entry of `considered`."""
        out: dict[str, Any] = {"consent": self.consent}
        if self.provision:
            out["provision"] = self.provision
        out["applied"], out["why"] = self.applied, self.why
        if self.recipient:
            out["recipient"] = self.recipient
        return out


class RecipientVerdict(Struct, frozen=True):
    """Hold the verdict about one recipient; `recipient` is how the request named it."""

    recipient: Mapping[str, Any]
    decision: Verdict
    code: str | None
    dropped: bool = False

    def to_json(self) -> dict[str, Any]:
        """Render as plain data."""
        out: dict[str, Any] = {"recipient": dict(self.recipient), "decision": self.decision}
        if self.code:
            out["code"] = self.code
        if self.dropped:
            out["dropped"] = True
        return out


class Reasons(Sequence[Basis]):
    """Hold the basis of a decision, put into words when somebody reads it."""

    __slots__ = ("_build", "_built")

    def __init__(self, build: Callable[[], Sequence[Basis]]) -> None:
        self._build = build
        self._built: tuple[Basis, ...] | None = None

    def _all(self) -> tuple[Basis, ...]:
        if self._built is None:
            self._built = tuple(self._build())
        return self._built

    def __iter__(self) -> Iterator[Basis]:
        return iter(self._all())

    @overload
    def __getitem__(self, index: int) -> Basis: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Basis]: ...

    def __getitem__(self, index: int | slice) -> Basis | Sequence[Basis]:
        return self._all()[index]

    def __len__(self) -> int:
        return len(self._all())

    def __eq__(self, other: object) -> bool:
        return self._all() == (other._all() if isinstance(other, Reasons) else other)

    def __hash__(self) -> int:
        return hash(self._all())

    def __repr__(self) -> str:
        return repr(self._all())


Trace = Callable[[], Sequence[Considered]]
"""Builds the full trace when it is asked for: most decisions are never read by a person."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Answer one question about disclosure.

    `code` is for the sender (`consent-missing`, `consent-denied`, ...; None with a permit) and
    the only thing the sender learns; everything else is for the ledger. `consents` names every
    consent that was looked at, with its version; `asked` is the request that was answered.
    """

    decision: Verdict
    code: str | None
    obligations: tuple[Obligation, ...]
    basis: Sequence[Basis]
    at: str
    policy: Policy
    recipients: tuple[RecipientVerdict, ...] = ()
    consents: tuple[str, ...] = ()
    trace: Trace = field(default=tuple, compare=False, repr=False)
    asked: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    _recorded: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def again(self, at: str) -> Decision:
        """Return the same answer as of another moment; what its record says is written once."""
        return Decision(
            self.decision,
            self.code,
            self.obligations,
            self.basis,
            at,
            self.policy,
            self.recipients,
            self.consents,
            self.trace,
            self.asked,
            self._recorded,
        )

    @property
    def permitted(self) -> bool:
        """Tell whether the disclosure may happen, under the obligations."""
        return self.decision == "permit"

    @property
    def considered(self) -> tuple[Considered, ...]:
        """Return every consent and provision looked at, and why it did or did not apply."""
        return tuple(self.trace())

    def diagnostic(self) -> Diagnostic:
        """Return what the sender may learn: the outcome and its code, nothing about the member."""
        code = self.code or "consent-denied"
        known = CODES.get(code)
        return Diagnostic(code, f"{known.title}." if known else "No consent covers this.")

    def to_json(self) -> dict[str, Any]:
        """Render the answer as plain data, the verdict first."""
        out: dict[str, Any] = {
            "decision": self.decision,
            "obligations": [dict(obligation) for obligation in self.obligations],
            "basis": [basis.to_json() for basis in self.basis],
            "considered": [entry.to_json() for entry in self.considered],
            "code": self.code,
            "policy": self.policy.to_json(),
            "at": self.at,
        }
        if len(self.recipients) > 1:
            out["recipients"] = [entry.to_json() for entry in self.recipients]
        return out

    def record(self, destination: str) -> dict[str, Any]:
        """Render for the record: the answer, and who asked whom what for, by bare references.

        What is in it is shared with the record of the same answer given `again`: it is for reading.
        """
        if not self._recorded:
            asked = self._asked()
            self._recorded.update(self.to_json(), destination=destination, asked=asked)
        return {**self._recorded, "at": self.at, "destination": destination}

    def _asked(self) -> dict[str, Any]:
        asked: dict[str, Any] = {}
        for name in ("patient", "sender", "recipient"):
            if parties := _mappings(self.asked.get(name)):
                asked[name] = [_named(party) for party in parties]
        if purposes := _mappings(self.asked.get("purpose")):
            asked["purpose"] = [dict(purpose) for purpose in purposes]
        return asked


def _mappings(given: Any) -> list[Mapping[str, Any]]:
    listed = given if isinstance(given, list | tuple) else [given]
    return [one for one in listed if isinstance(one, Mapping)]


def _named(party: Mapping[str, Any]) -> dict[str, Any]:
    """Return a party by its reference, else by its first identifier; never by words."""
    if isinstance(party.get("reference"), str):
        return {"reference": party["reference"]}
    identifier = next(iter(_mappings(party.get("identifier"))), {})
    kept = {name: identifier[name] for name in ("system", "value") if identifier.get(name)}
    return {"identifier": kept} if kept else {}
