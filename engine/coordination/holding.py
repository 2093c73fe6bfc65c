"""At the moment of sending: whether a finding keeps a resource from leaving."""

from __future__ import annotations

from collections.abc import Iterable

from engine.coordination import review
from engine.coordination.findings import (
    finding_id,
    holds,
    implicated,
    outcome_of,
    stays_closed,
)
from engine.coordination.reactions import react, reaction_key
from engine.coordination.review import REVIEWED, reviewed
from engine.deliver.ports import Delivery
from engine.gather import stored
from engine.message import Resource
from engine.project import Project
from engine.rules.finding import Finding
from engine.store import TimerRow, Transaction


def on_hold(tx: Transaction, project: Project, delivery: Delivery) -> bool:
    """Tell whether a finding that holds implicates what is about to leave.

    Where the message that brought it was not reacted to yet, that is done now, so that no delivery
    is faster than what it would have been held for.
    """
    if not _may_be_held(project, delivery):
        return False
    entity = delivery.envelope["entity"]
    reference = f"{delivery.type}/{entity}"
    member, *_ = same = tx.crosswalk.same(delivery.member)
    timer = _due(tx, delivery)
    if timer is not None and tx.looks_ahead:
        reviewed(tx, project, member)  # what the turn will find worked out
    if timer is not None and not _reacted(tx, project, timer):
        return _found_now(tx, project, member, reference)
    if not tx.resources.has_of_member("DetectedIssue", same):
        return False
    rows = tx.resources.of_member("DetectedIssue", same)
    issues = (stored(row) for row in rows if not row.deleted)
    return any(holds(issue) and reference in implicated(issue) for issue in issues)


def ready(tx: Transaction, project: Project, deliveries: Iterable[Delivery]) -> None:
    """Read together, for all of them, what `on_hold` asks of each, where it is kept until then."""
    concerned = [one for one in deliveries if _may_be_held(project, one)]
    if not concerned or not tx.answers.kept:
        return
    tx.timers.ready([reaction_key(one.message_id) for one in concerned])
    due = [one for one in concerned if _due(tx, one)]
    review.ready(tx, project, [one.member for one in due])
    if tx.looks_ahead:  # what follows is asked once it is known what to react to, and who does
        return
    tx.units.ready([one.message_id for one in due])
    tx.deliveries.ready_held({id for one in due for id in tx.crosswalk.same(one.member)})
    members = {id for one in concerned for id in tx.crosswalk.same(one.member)}
    tx.resources.ready_has("DetectedIssue", sorted(members))


def awaits_review(tx: Transaction, project: Project, delivery: Delivery) -> bool:
    """Tell whether `on_hold` will have to react first: that is worth looking ahead for."""
    return _may_be_held(project, delivery) and _due(tx, delivery) is not None


def _may_be_held(project: Project, delivery: Delivery) -> bool:
    return project.config.coordination is not None and delivery.type in _HELD_TYPES


def _due(tx: Transaction, delivery: Delivery) -> TimerRow | None:
    """Return the timer of the message that brought a delivery, while nothing has reacted to it."""
    timer = tx.timers.get(reaction_key(delivery.message_id))
    return timer if timer is not None and timer.state == "waiting" else None


def _reacted(tx: Transaction, project: Project, timer: TimerRow) -> bool:
    """React to a message ahead of its timer; False where it failed before, or others do it."""
    if timer.attempts:
        return False
    tx.writes()
    if not tx.timers.take(timer.key):
        return False
    react(tx, project, timer)
    tx.timers.finish(timer.key)
    tx.audit.append("timer.done", {"key": timer.key, "kind": timer.kind})
    return True


def _found_now(tx: Transaction, project: Project, member: str, reference: str) -> bool:
    record, findings = reviewed(tx, project, member)
    known = {issue["id"]: issue for issue in record.of("DetectedIssue")}
    return any(
        reference in finding.evidence and outcome_of(project, finding) == "hold"
        for finding in findings
        if not _closed(known.get(finding_id(member, finding)), finding)
    )


def _closed(issue: Resource | None, finding: Finding) -> bool:
    return issue is not None and stays_closed(issue, finding)


_HELD_TYPES = REVIEWED - {"DetectedIssue"}
