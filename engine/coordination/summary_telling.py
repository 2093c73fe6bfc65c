"""What one asker may be told about a member now: each resource decided, redacted, labelled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.coordination.findings import implicated
from engine.coordination.member_record import MemberRecord
from engine.gather import gather_canonical
from engine.message import Resource
from engine.project import Project
from engine.reading import may_read
from engine.road.judge import decision_for, minor
from engine.road.trip import Trip
from engine.rules.labels import label
from engine.rules.orders import reference_to
from engine.rules.redact import apply
from engine.store import Transaction

TOLD = (
    "CareTeam",
    "CarePlan",
    "Goal",
    "ServiceRequest",
    "MedicationRequest",
    "DetectedIssue",
    "Consent",
    "Communication",
    "CommunicationRequest",
    "Task",
)
"""The types that a summary tells of, each under its own decision."""

_CORRESPONDENCE = frozenset({"Communication", "CommunicationRequest", "Task"})
"""What goes between some systems only: others are told nothing of it, whatever is permitted."""


@dataclass(frozen=True, slots=True)
class Telling:
    """Hold what may be told: resources by reference, and the decision for each of the others'.

    `redacted` are the references of what was told in part.
    """

    told: Mapping[str, Resource]
    redacted: frozenset[str]
    decisions: Sequence[Mapping[str, Any]]

    def of(self, *types: str) -> list[Resource]:
        """Return what may be told of these types, by reference."""
        return [self.told[key] for key in sorted(self.told) if key.partition("/")[0] in types]


def telling(tx: Transaction, project: Project, system: str, record: MemberRecord) -> Telling:
    """Decide about every resource of a member that a summary could tell `system` of.

    The operator's system is told all, labelled; others their own, and what of the others' a permit
    covers now. A finding is told only to who may be told, whole, all that it rests on.
    """
    asker = _Asker(tx, project, system, record)
    for resource in record.of(*(name for name in TOLD if name != "DetectedIssue")):
        asker.consider(resource)
    for issue in record.of("DetectedIssue"):
        asker.consider_finding(issue)
    return Telling(asker.told, frozenset(asker.redacted), tuple(asker.decisions))


class _Asker:
    """Take the decisions for one asker."""

    def __init__(
        self, tx: Transaction, project: Project, system: str, record: MemberRecord
    ) -> None:
        self.tx = tx
        self.project = project
        self.system = system
        self.record = record
        self.operator = project.config.systems[system].reads == "all"
        self.told: dict[str, Resource] = {}
        self.redacted: set[str] = set()
        self.decisions: list[Mapping[str, Any]] = []

    def consider(self, resource: Resource) -> None:
        reference = reference_to(resource)
        source = self.record.systems.get(reference, self.system)
        if self.operator:
            self.told[reference] = self._labelled(resource)
        elif source == self.system:
            self.told[reference] = resource
        elif self._may_see(resource):
            self._decide(resource, reference, source)

    def _may_see(self, resource: Resource) -> bool:
        if resource["resourceType"] not in _CORRESPONDENCE:
            return True
        row = self.tx.resources.get(resource["resourceType"], resource["id"])
        return row is not None and may_read(self.tx, self.project, self.system, row)

    def _labelled(self, resource: Resource) -> Resource:
        table = self.project.labels
        return label(resource, table) if table else resource

    def _decide(self, resource: Resource, reference: str, source: str) -> None:
        member = self.record.member
        facts = gather_canonical(self.tx, self.project, resource, at=self.tx.now, judged=True)
        decision = decision_for(resource, member, self.system, Trip(self.project, facts, source))
        self.decisions.append(
            {"resource": reference, "decision": decision.decision, "code": decision.code,
             "consents": list(decision.consents)}
        )  # fmt: skip
        if not decision.permitted:
            return
        redaction = apply(
            resource,
            decision.obligations,
            facts.told_by(resource),
            policy=decision.policy,
            table=self.project.labels,
            minor=minor(member, decision.policy, facts),
        )
        if redaction.resource is not None:
            self.told[reference] = redaction.resource
            if redaction.removed:
                self.redacted.add(reference)

    def consider_finding(self, issue: Resource) -> None:
        """Tell a finding only with all that it rests on: its words name what they are about."""
        reference = reference_to(issue)
        if self.operator:
            self.told[reference] = self._labelled(issue)
        elif all(self._whole(each) for each in implicated(issue)):
            self.told[reference] = {
                **issue,
                "meta": {k: v for k, v in issue.get("meta", {}).items() if k != "tag"},
            }

    def _whole(self, reference: str) -> bool:
        return reference in self.told and reference not in self.redacted
