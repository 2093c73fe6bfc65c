"""The consent question asked from outside: answered from the registry or from what was sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.diagnostics import Diagnostic
from engine.gather import gather
from engine.message import Resource
from engine.project import Project
from engine.rules.consent.policy import Policy
from engine.store import Transaction
from engine.transform.references import Unresolved

_TOLD_TO_ALL = ("decision", "code", "obligations", "at")


@dataclass(frozen=True, slots=True)
class Question:
    """Hold one question; `consents` is None where the registry is to be asked."""

    request: Mapping[str, Any]
    consents: tuple[Resource, ...] | None
    supporting: tuple[Resource, ...]
    at: str | None
    policy: Policy | None

    def answer(self, tx: Transaction, project: Project, system: str, now: str) -> dict[str, Any]:
        """Decide as `system` asks it; only the operator (`reads: all`) is told the reasons."""
        request, consents, supporting = self.request, self.consents, self.supporting
        if consents is None:
            request, consents, supporting = self._from_registry(tx, project, system, now)
        decision = project.decide(
            request, consents, supporting, at=self.at or now, policy=self.policy
        )
        told = decision.to_json()
        if self.consents is not None or project.config.systems[system].reads == "all":
            return told
        return {name: told[name] for name in _TOLD_TO_ALL}

    def _from_registry(
        self, tx: Transaction, project: Project, system: str, now: str
    ) -> tuple[dict[str, Any], tuple[Resource, ...], tuple[Resource, ...]]:
        """Read the question's references as `system` means them, and what is on record."""
        wrapped: Resource = {"resourceType": "Communication", "asked": dict(self.request)}
        facts = gather(tx, project, system, [wrapped], at=now)
        crosswalk = project.crosswalk(system, facts.links)
        canonical: dict[str, Any] = {
            name: _canonical(value, crosswalk.to_canonical) for name, value in self.request.items()
        }
        consents = tuple(consent for known in facts.consents.values() for consent in known)
        return canonical, consents, (*facts.supporting.values(), *self.supporting)


def _canonical(value: Any, rewrite: Any) -> Any:
    if isinstance(value, list):
        return [_canonical(item, rewrite) for item in value]
    if isinstance(value, dict) and ("reference" in value or "identifier" in value):
        known = rewrite(value, frozenset())
        return value if isinstance(known, Unresolved) else known
    if isinstance(value, dict):
        return {name: _canonical(item, rewrite) for name, item in value.items()}
    return value


def asked(body: Mapping[str, Any]) -> Question | list[Diagnostic]:
    """Read `{"request", "consent", "supporting", "at", "policy"}`, or a request alone."""
    request = body.get("request") if "request" in body else body
    if not isinstance(request, Mapping) or "patient" not in request:
        return [
            Diagnostic(
                "R012",
                "The question names no patient.",
                path="request.patient",
                expected="a Reference with reference or identifier",
            )
        ]
    consents = _resources(body.get("consent")) if "consent" in body else None
    policy: Policy | None = None
    if body.get("policy") is not None:
        policy, problems = Policy.parse(body["policy"])
        if policy is None:
            return problems
    at = body.get("at")
    return Question(
        request,
        consents,
        _resources(body.get("supporting")),
        at if isinstance(at, str) else None,
        policy,
    )


def _resources(given: Any) -> tuple[Resource, ...]:
    listed: Sequence[Any] = given if isinstance(given, list) else [given]
    return tuple(item for item in listed if isinstance(item, dict))
