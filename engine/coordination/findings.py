"""Findings on record: each written once as a DetectedIssue, settled when gone, with its Task."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from functools import cached_property
from typing import Any

from engine.coordination.member_record import MemberRecord
from engine.coordination.producing import NOBODY, produce, produced_id
from engine.fhir.json import dumps
from engine.message import Hold, Outcome, Reject, Resource
from engine.project import Project
from engine.rules.finding import Finding, detected_issue, kind_of, settled, settled_by_engine
from engine.rules.labels import label
from engine.rules.orders import reference_to
from engine.rules.own_work import DESK as TASK_SYSTEM
from engine.store import Transaction
from engine.transform.crosswalk import reference_key

OUTCOME_SYSTEM = "https://carelane.example/fhir/CodeSystem/finding-outcome"
"""The system of the tag that says what follows a DetectedIssue."""

HELD = "review-hold"
"""Why a delivery is held that a finding implicates."""

_SAME = ("detail", "severity", "status", "implicated", "code")
_SETTLED = {"text": "The finding is settled"}
_OPEN_TASK = frozenset({"requested", "received", "accepted", "ready", "in-progress", "draft"})


def keep_findings(
    tx: Transaction, project: Project, record: MemberRecord, found: Sequence[Finding]
) -> None:
    """Write what is new or changed, settle what is gone, and let go what was held for it."""
    coordination = project.config.coordination
    if coordination is None:
        return
    known = {issue["id"]: issue for issue in record.of("DetectedIssue") if kind_of(issue)}
    tasks = {task["id"]: task for task in record.of("Task")}
    desk = _Desk(tx, project, record, coordination.acting)
    wanted = {finding_id(record.member, finding): finding for finding in found}
    changed = [
        *(
            issue
            for id, finding in wanted.items()
            if (issue := desk.written(id, finding, known.get(id)))
        ),
        *(
            settled(_bare(issue), tx.now)
            for id, issue in known.items()
            if id not in wanted and issue["status"] == "preliminary"
        ),
    ]
    now = {**known, **{issue["id"]: issue for issue in changed}}
    changed += [task for issue in now.values() if (task := desk.task(issue, tasks))]
    if changed:
        desk.put(changed)
    _hold_and_release(tx, record, [issue for issue in now.values() if holds(issue)])


def outcome_of(project: Project, finding: Finding) -> str:
    """Return what follows a finding: what its rule asks for, else what configuration says."""
    coordination = project.config.coordination
    if finding.outcome is not None or coordination is None:
        return finding.outcome or "warn"
    return coordination.review.outcomes.of(finding.code)


def holds(issue: Resource) -> bool:
    """Tell whether a DetectedIssue keeps what it implicates from leaving."""
    return issue.get("status") == "preliminary" and outcome_in(issue) == "hold"


def finding_id(member: str, finding: Finding) -> str:
    """Return the id of a finding's DetectedIssue: the same at every review."""
    return produced_id(f"review {member}", finding.identity)


def closed_by_a_person(issue: Resource) -> bool:
    """Tell whether somebody else than the engine closed a DetectedIssue: it stays closed."""
    return issue.get("status") != "preliminary" and not settled_by_engine(issue)


def stays_closed(issue: Resource, finding: Finding) -> bool:
    """Tell whether a person closed a finding on record, as far as it goes by now."""
    if not closed_by_a_person(issue):
        return False
    return not finding.grows or implicated(issue).issuperset(finding.evidence)


def outcome_in(issue: Resource) -> str:
    """Return what follows a DetectedIssue of ours, as its tag says."""
    tags = issue.get("meta", {}).get("tag", ())
    return next((tag["code"] for tag in tags if tag.get("system") == OUTCOME_SYSTEM), "warn")


def implicated(issue: Resource) -> set[str]:
    """Return the references of what a DetectedIssue is about."""
    return {each["reference"] for each in issue.get("implicated", ()) if "reference" in each}


def _bare(resource: Resource) -> Resource:
    """Return a copy of a stored resource without the version that the store gave it."""
    meta = {k: v for k, v in resource["meta"].items() if k not in ("versionId", "lastUpdated")}
    rest = {name: value for name, value in resource.items() if name != "meta"}
    return deepcopy({**rest, "meta": meta} if meta else rest)


class _Desk:
    """Write on behalf of the acting system."""

    def __init__(
        self, tx: Transaction, project: Project, record: MemberRecord, acting: str
    ) -> None:
        self.tx = tx
        self.project = project
        self.record = record
        self.acting = acting
        self.labels = _Labels(project, record)
        organization = project.config.systems[acting].organization
        self.author: dict[str, Any] = {
            "type": "Organization",
            "identifier": {"system": organization.system, "value": organization.value},
            "display": organization.name or acting,
        }

    def written(self, id: str, finding: Finding, known: Resource | None) -> Resource | None:
        """Return the DetectedIssue to write, or None where it stands on record already.

        What a person has closed stays closed, although it is still found.
        """
        if known and stays_closed(known, finding):
            return None
        again = known if known and known["status"] == "preliminary" else None
        at = again.get("identifiedDateTime", self.tx.now) if again else self.tx.now
        issue = detected_issue(finding, id, member=self.record.member, author=self.author, at=at)
        outcome = outcome_of(self.project, finding)
        stands = again and all(again.get(name) == issue.get(name) for name in _SAME)
        told = again and stands and outcome_in(again) == outcome
        if again and told and self.labels.stand_on(again, finding.evidence):
            return None
        issue["meta"] = self._meta(finding, outcome)
        return issue

    def _meta(self, finding: Finding, outcome: str) -> dict[str, Any]:
        """Say what follows, and label the finding by everything that it rests on."""
        meta: dict[str, Any] = {"tag": [{"system": OUTCOME_SYSTEM, "code": outcome}]}
        labels = list(self.labels.of(finding.evidence))
        return meta | ({"security": labels} if labels else {})

    def task(self, issue: Resource, tasks: dict[str, Resource]) -> Resource | None:
        """Return the Task of a finding where it is to be written, or taken back."""
        id = produced_id(f"finding {issue['id']}", "task")
        known = tasks.get(id)
        if issue["status"] != "preliminary":
            if known is None or known["status"] not in _OPEN_TASK:
                return None
            return {**_bare(known), "status": "cancelled", "statusReason": _SETTLED}
        if outcome_in(issue) != "task" or (known is not None and not _taken_back(known)):
            return None
        return {
            "resourceType": "Task",
            "id": id,
            "status": "requested",
            "intent": "order",
            "code": {
                "coding": [{"system": TASK_SYSTEM, "code": "review-finding"}],
                "text": "Review a finding",
            },
            "description": "Look at this finding with everybody concerned, and close it.",
            "focus": {"reference": f"DetectedIssue/{issue['id']}"},
            "for": {"reference": f"Patient/{self.record.member}"},
            "authoredOn": self.tx.now,
            "requester": self.author,
            "owner": self._owner(),
        }

    def _owner(self) -> dict[str, Any]:
        coordination = self.project.config.coordination
        named = coordination.review.coordinator if coordination else None
        if named is None:
            return self.author
        identifier = {"system": named.system, "value": named.value}
        return {"identifier": identifier, "display": named.name}

    def put(self, resources: Sequence[Resource]) -> None:
        """Write over the road; what may not leave is kept on record all the same.

        Tasks go to nobody: they are for the acting system's own people, who read them here.
        """
        for to, ours in (
            (None, [each for each in resources if each["resourceType"] != "Task"]),
            (NOBODY, [each for each in resources if each["resourceType"] == "Task"]),
        ):
            if ours:
                self._produce(ours, to)

    def _produce(self, resources: Sequence[Resource], to: str | None) -> None:
        cause = f"review {self.record.member}"
        made = produce(self.tx, self.project, self.acting, resources, cause=cause, to=to)
        for resource, outcome in zip(resources, made.outcomes, strict=True):
            if _stopped(outcome):
                self._keep(resource, made.message)
        own = {
            reference_key(self.acting, reference_to(resource)): str(resource["id"])
            for resource in resources
        }
        self.tx.crosswalk.link(own, source="engine")

    def _keep(self, resource: Resource, message: str) -> None:
        kind, id = resource["resourceType"], resource["id"]
        self.tx.resources.put(
            kind, id, dumps(resource), member=self.record.member, system=self.acting
        )
        body = {"resource": f"{kind}/{id}", "reason": "not to leave"}
        self.tx.audit.append("finding.kept", body, message=message, actor="engine")


class _Labels:
    """Work out the labels of a member's resources, of each once and only where it is asked for."""

    def __init__(self, project: Project, record: MemberRecord) -> None:
        self._table = project.labels
        self._record = record
        self._known: dict[str, Sequence[dict[str, Any]]] = {}

    @cached_property
    def _places(self) -> dict[str, int]:
        return {reference_to(each): place for place, each in enumerate(self._everything)}

    @cached_property
    def _everything(self) -> Sequence[Resource]:
        return self._record.everything

    def of(self, references: Iterable[str]) -> Iterator[dict[str, Any]]:
        """Yield the labels of these resources, each once, in the order of the record."""
        seen = set()
        known = (reference for reference in references if reference in self._places)
        for reference in sorted(known, key=self._places.__getitem__):
            for coding in self._of_one(reference):
                key = (coding.get("system"), coding.get("code"))
                if key not in seen:
                    seen.add(key)
                    yield {name: coding[name] for name in ("system", "code") if name in coding}

    def stand_on(self, issue: Resource, references: Sequence[str]) -> bool:
        """Tell whether a finding on record bears the labels of what it rests on by now.

        They are worked out only where something of it came after the finding.
        """
        meta = issue.get("meta", {})
        since = str(meta.get("lastUpdated", ""))
        if not any(self._at(reference) >= since for reference in references):
            return True
        borne = {(one.get("system"), one.get("code")) for one in meta.get("security", ())}
        return borne.issuperset((one.get("system"), one.get("code")) for one in self.of(references))

    def _at(self, reference: str) -> str:
        """Return when the version of a resource that is reviewed came on record."""
        place = self._places.get(reference)
        meta = {} if place is None else self._everything[place].get("meta", {})
        return str(meta.get("lastUpdated", ""))

    def _of_one(self, reference: str) -> Sequence[dict[str, Any]]:
        if reference not in self._known:
            resource = self._everything[self._places[reference]]
            judged = label(resource, self._table) if self._table else resource
            self._known[reference] = tuple(_security(judged))
        return self._known[reference]


def _taken_back(task: Resource) -> bool:
    """Tell whether the engine itself cancelled a Task, so that it may ask again."""
    return bool(task["status"] == "cancelled" and task.get("statusReason") == _SETTLED)


def _stopped(outcome: Outcome) -> bool:
    return isinstance(outcome, Hold | Reject)


def _security(tree: Any) -> Iterator[dict[str, Any]]:
    """Yield the labels of a resource and of its parts."""
    match tree:
        case {"meta": {"security": list(labels)}}:
            yield from labels
    for extension in _extensions(tree):
        if isinstance(coding := extension.get("valueCoding"), dict):
            yield coding


def _extensions(tree: Any) -> Iterator[dict[str, Any]]:
    if isinstance(tree, dict):
        for name, value in tree.items():
            if name == "extension" and isinstance(value, list):
                yield from (e for e in value if str(e.get("url", "")).endswith("inline-sec-label"))
            yield from _extensions(value)
    elif isinstance(tree, list):
        for item in tree:
            yield from _extensions(item)


def _hold_and_release(tx: Transaction, record: MemberRecord, holding: Sequence[Resource]) -> None:
    """Hold what waits to leave and is implicated; release what was held and is not any more."""
    touched = set().union(*(implicated(issue) for issue in holding))
    members = list(tx.crosswalk.same(record.member))
    for delivery in tx.deliveries.of_member("held", members):
        reference = f"{delivery.type}/{delivery.envelope['entity']}"
        if delivery.reason == HELD and reference not in touched:
            tx.deliveries.release(delivery.id, "engine")
    if touched:
        for delivery in tx.deliveries.of_member("waiting", members):
            if f"{delivery.type}/{delivery.envelope['entity']}" in touched:
                tx.deliveries.withhold(delivery.id, HELD)
