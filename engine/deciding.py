"""The consent question asked from outside: answered from the registry or from what was sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from engine.diagnostics import Diagnostic
from engine.fhir.dates import moment
from engine.gather import gather_canonical
from engine.message import Resource
from engine.project import Project
from engine.road.facts import Facts
from engine.rules.consent.policy import Policy
from engine.rules.decision import Decision
from engine.store import Transaction
from engine.transform.crosswalk import IDENTITY_TYPES, Key, Links, identifier_key, literal
from engine.transform.references import Unresolved

ASKED = "consent.asked"
"""The kind of the ledger's record of a decision that somebody asked for."""

_TOLD_TO_ALL = ("decision", "code", "obligations", "at")
_PARTIES: Mapping[str, tuple[str, ...]] = {
    "patient": ("Patient",),
    "patientId": ("Patient",),
    "sender": tuple(sorted(IDENTITY_TYPES)),
    "performer": tuple(sorted(IDENTITY_TYPES)),
    "recipient": tuple(sorted(IDENTITY_TYPES)),
    "actor": tuple(sorted(IDENTITY_TYPES)),
}
"""The members of a request that name somebody, and the types that a bare identifier may mean."""

_MOST_PARTIES = 200


@dataclass(frozen=True, slots=True)
class Reply:
    """Hold a decision in the words of who asked, and what was known of those it speaks of.

    `reasons` tells whether the asker may see what the decision rests on.
    """

    decision: Decision
    supporting: tuple[Resource, ...]
    reasons: bool

    def to_json(self) -> dict[str, Any]:
        """Render what the asker may see."""
        told = self.decision.to_json()
        return told if self.reasons else {name: told[name] for name in _TOLD_TO_ALL}


@dataclass(frozen=True, slots=True)
class Question:
    """Hold one question; `consents` is None where the registry is to be asked."""

    request: Mapping[str, Any]
    consents: tuple[Resource, ...] | None = None
    supporting: tuple[Resource, ...] = ()
    at: str | None = None
    policy: Policy | None = None

    def barred(self, project: Project, system: str) -> Diagnostic | None:
        """Return why `system` may not ask this, if so.

        The registry answers for now and under the project's own policy; another instant or another
        reading would let a sender feel out what a member has agreed to. The operator may.
        """
        if self.consents is not None or _operates(project, system):
            return None
        if self.at is None and self.policy is None:
            return None
        return Diagnostic(
            "N006",
            "Only the operator may ask the registry about another time or under another policy.",
            path="at" if self.at is not None else "policy",
            remedy="leave it out, or send the Consents along.",
        )

    def answer(self, tx: Transaction, project: Project, system: str) -> Reply:
        """Decide as `system` asks it, and write down that it was asked and answered.

        Only the operator (`reads: all`), and who brought the Consents along, is told the reasons.
        """
        if self.consents is not None:
            return self._from_what_was_sent(tx, project, system)
        request, facts = self._canonical(tx, project, system)
        decision = project.decide(
            request,
            [consent for known in facts.consents.values() for consent in known],
            (*facts.supporting.values(), *facts.content.values(), *self.supporting),
            at=self.at or tx.now,
            policy=self.policy or _policy(project, system, request, facts),
        )
        _record(tx, system, decision, _member(request))
        told = _in_words_of(tx, project, system, decision)
        return Reply(told, tuple(facts.supporting.values()), _operates(project, system))

    def _from_what_was_sent(self, tx: Transaction, project: Project, system: str) -> Reply:
        decision = project.decide(
            self.request,
            self.consents or (),
            self.supporting,
            at=self.at or tx.now,
            policy=self.policy,
        )
        _record(tx, system, decision, None)
        return Reply(decision, self.supporting, reasons=True)

    def _canonical(
        self, tx: Transaction, project: Project, system: str
    ) -> tuple[dict[str, Any], Facts]:
        """Read the request's references as `system` means them, and what is on record of them."""
        named = {
            name: [_shaped(one) for one in _listed(self.request[name], name)][:_MOST_PARTIES]
            for name in _PARTIES
            if self.request.get(name)
        }
        names = _Names(tx, project, system)
        asked = {name: [names.known(one, name) for one in given] for name, given in named.items()}
        own = project.organization(system, Links(names.organizations()))
        if not _operates(project, system) or not (asked.get("sender") or asked.get("performer")):
            asked["sender"] = [*asked.get("sender", asked.get("performer", [])), own]
        request = {**self.request, **asked}
        if "data" in request:
            request["data"] = [names.data(one) for one in _listed(request["data"], "data")]
        wrapped = {"resourceType": "Communication", "id": "asked", "asked": request}
        return request, gather_canonical(tx, project, wrapped, at=tx.now)


def _operates(project: Project, system: str) -> bool:
    return project.config.systems[system].reads == "all"


def _listed(given: Any, name: str) -> list[Any]:
    listed = given if isinstance(given, list) else [given]
    bare = [one for one in listed if isinstance(one, dict) and "value" in one]
    if name in ("actor", "patient", "patientId") and len(bare) == len(listed) > 1:
        return [{"identifier": bare}]
    return listed


def _shaped(given: Any) -> dict[str, Any]:
    """Return a party in one shape: a reference, identifiers in a list, or both."""
    if isinstance(given, str):
        return {"reference": given}
    if not isinstance(given, dict):
        return {}
    if "value" in given and "identifier" not in given and "reference" not in given:
        return {"identifier": [given]}
    identifiers = given.get("identifier")
    if isinstance(identifiers, dict):
        return {**given, "identifier": [identifiers]}
    return dict(given)


class _Names:
    """Know whom `system` means."""

    def __init__(self, tx: Transaction, project: Project, system: str) -> None:
        self._tx = tx
        self._project = project
        self._system = system

    def organizations(self) -> dict[Key, str]:
        return self._tx.crosswalk.resolve(self._project.organization_keys())

    def known(self, party: dict[str, Any], name: str) -> dict[str, Any]:
        """Return a party by its canonical reference; an unknown one stays apart from all ids."""
        keys = list(self._keys(party, _PARTIES[name]))
        found = self._tx.crosswalk.resolve(keys)
        for key in keys:
            if entity := found.get(key):
                return {**party, "reference": f"{key.type}/{entity}"}
        return self._stranger(party)

    def data(self, given: Any) -> Any:
        """Return one `data` entry of a request with canonical references."""
        if not isinstance(given, dict):
            return given
        if isinstance(given.get("reference"), dict):
            return {**given, "reference": self._content(given["reference"])}
        return self._content(given) if "reference" in given else given

    def _content(self, reference: dict[str, Any]) -> dict[str, Any]:
        keys = self._project.naming.reference_keys(self._system, reference)
        found = self._tx.crosswalk.resolve(keys)
        for key in keys:
            if entity := found.get(key):
                return {**reference, "reference": f"{key.type}/{entity}"}
        return self._stranger(reference)

    def _keys(self, party: dict[str, Any], types: Sequence[str]) -> Iterator[Key]:
        plain = {name: part for name, part in party.items() if name != "identifier"}
        yield from self._project.naming.reference_keys(self._system, plain)
        stated = party.get("type")
        for identifier in party.get("identifier") or ():
            for type_name in (stated,) if isinstance(stated, str) else types:
                if key := identifier_key(type_name, identifier):
                    yield key

    def _stranger(self, party: dict[str, Any]) -> dict[str, Any]:
        """Let a reference that is not known here never pass for a canonical id.

        The operator may use canonical ids themselves.
        """
        target = party.get("reference")
        found = literal(target) if isinstance(target, str) else None
        if found is None or found.base is not None:
            return party
        current = self._tx.crosswalk.current(found.id)
        if current and _operates(self._project, self._system):
            return {**party, "reference": f"{found.type}/{current}"}
        base = self._project.naming.bases[self._system]
        return {**party, "reference": f"{base}/{found.local}"}


def _policy(
    project: Project, system: str, request: Mapping[str, Any], facts: Facts
) -> Policy | None:
    """Return the policy of the route to the recipient, where one leads there."""
    asked = {name for party in request.get("recipient", ()) if (name := party.get("reference"))}
    for leg in project.legs(system, "Communication"):
        if project.organization(leg.destination, facts.links).get("reference") in asked:
            return leg.policy
    return None


def _member(request: Mapping[str, Any]) -> str | None:
    for party in request.get("patient") or request.get("patientId") or ():
        found = literal(str(party.get("reference")))
        if found and found.base is None and found.type == "Patient":
            return found.id
    return None


def _record(tx: Transaction, system: str, decision: Decision, member: str | None) -> None:
    """Write down who asked and what the answer was; `member` is None where nobody of ours."""
    body: dict[str, Any] = {
        "decision": decision.decision,
        "code": decision.code,
        "at": decision.at,
        "consents": list(decision.consents) if member else [],
        "basis": list(dict.fromkeys(basis.consent for basis in decision.basis)) if member else [],
        "member": member,
        "policy": decision.policy.to_json(),
    }
    tx.audit.append(ASKED, {k: v for k, v in body.items() if v}, actor=system)


def _in_words_of(tx: Transaction, project: Project, system: str, decision: Decision) -> Decision:
    """Return a decision whose obligations name content as `system` does, so that it finds it."""
    targets = {found for one in decision.obligations for found in _references(one)}
    if not targets:
        return decision
    known = tx.crosswalk.known(found.id for text in targets if (found := literal(text)))
    links = Links({key: entity for entity, keys in known.items() for key in keys}, known)
    crosswalk = project.crosswalk(system, links)

    def local(node: Any) -> Any:
        if isinstance(node, list):
            return [local(item) for item in node]
        if not isinstance(node, Mapping):
            return node
        if isinstance(node.get("reference"), str):
            told = crosswalk.to_dialect(dict(node), frozenset())
            return dict(node) if isinstance(told, Unresolved) else told
        return {name: local(value) for name, value in node.items()}

    return replace(decision, obligations=tuple(local(one) for one in decision.obligations))


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        if isinstance(node.get("reference"), str):
            yield node["reference"]
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list | tuple):
        for item in node:
            yield from _references(item)


def asked(body: Mapping[str, Any]) -> Question | list[Diagnostic]:
    """Read `{"request", "consent", "supporting", "at", "policy"}`, or a request alone."""
    request = body.get("request") if "request" in body else body
    if not isinstance(request, Mapping) or not (request.get("patient") or request.get("patientId")):
        return [
            Diagnostic(
                "R012",
                "The question names no patient.",
                path="request.patient",
                expected="a Reference with reference or identifier",
            )
        ]
    policy, problems = Policy.parse(body.get("policy"))
    at = body.get("at")
    if at is not None and (not isinstance(at, str) or moment(at) is None):
        said = "The instant of the question cannot be read."
        problems.append(Diagnostic("R012", said, path="at", expected="a FHIR instant"))
    if problems:
        return problems
    return Question(
        request,
        _resources(body.get("consent")) if "consent" in body else None,
        _resources(body.get("supporting")),
        at,
        policy if body.get("policy") is not None else None,
    )


def _resources(given: Any) -> tuple[Resource, ...]:
    listed: Sequence[Any] = given if isinstance(given, list) else [given]
    return tuple(item for item in listed if isinstance(item, dict))
