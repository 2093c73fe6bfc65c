"""When a consent ends, by its date or by revocation: what still waits is taken back or held."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from engine.clock import instant
from engine.coordination import outreach_tasks
from engine.coordination.happening import Happening
from engine.coordination.records import Tracked, record, requests_of
from engine.coordination.records_states import WAITING
from engine.coordination.records_tasks import BUSINESS, WITHDRAWN, is_held
from engine.fhir.dates import END, period
from engine.fhir.json import loads
from engine.gather import gather_canonical
from engine.message import Resource
from engine.project import Project
from engine.road.identify import member_of
from engine.road.judge import decision_for
from engine.road.trip import Trip
from engine.rules.consent.codings import mappings
from engine.store import TimerRow, Transaction

KIND = "consent-end"
"""The kind of timer that goes off when a period of a consent has ended."""

_SECOND = 1_000_000
_MOST_ENDS = 20


def concerns(tx: Transaction, project: Project, canonical: Resource) -> bool:
    """Tell whether a resource may end what is waited for, or say when it ends."""
    return bool(canonical["resourceType"] == "Consent")


def follow_consents(tx: Transaction, project: Project, happening: Happening) -> None:
    """Take back what the consents of a message no longer cover, and note when each ends."""
    members = set()
    for unit in happening.units:
        if unit.type != "Consent" or unit.member is None or unit.resource is None:
            continue
        members.add(unit.member)
        row = tx.resources.get("Consent", unit.resource.partition("/")[2])
        if row is not None and not row.deleted:
            _note_ends(tx, project, loads(row.body), unit.member)
    for member in sorted(members):
        take_back(tx, project, member)


def _note_ends(tx: Transaction, project: Project, consent: Resource, member: str) -> None:
    """Set a timer for each instant at which a period of an active consent ends."""
    if consent.get("status") != "active":
        return
    for end in sorted(set(_ends(consent.get("provision"), project.policies[-1].zone)))[:_MOST_ENDS]:
        if end > tx.now:
            tx.timers.set(f"{KIND} {consent['id']} {end}", KIND, end, {"member": member})


def _ends(provision: Any, zone: str) -> Iterator[str]:
    if not isinstance(provision, Mapping):
        return
    stated = period(provision.get("period"), zone) if "period" in provision else None
    if stated is not None and stated[1] < END:
        yield instant(stated[1] / _SECOND)
    for inner in mappings(provision.get("provision")):
        yield from _ends(inner, zone)


def ended(tx: Transaction, project: Project, timer: TimerRow) -> None:
    """Take back what a consent covered until now."""
    member = str(timer.body["member"])
    take_back(tx, project, tx.crosswalk.current(member) or member)


def take_back(tx: Transaction, project: Project, member: str) -> None:
    """Cancel calls and meetings about a member that wait without a permit; hold such requests.

    A request that is held goes on once a consent covers it again.
    """
    outreach_tasks.take_back(tx, project, member)
    for found in requests_of(tx, project, member):
        if found.stage not in WAITING or found.asked is None:
            continue
        covered = _covered(tx, project, found, found.asked)
        if not covered and not is_held(found.task):
            _hold(tx, project, found)
        elif covered and is_held(found.task):
            _go_on(tx, project, found)


def _covered(tx: Transaction, project: Project, found: Tracked, asked: str) -> bool:
    """Tell whether the request may be told to whom it asks, as it was when it left."""
    if not project.guarded(found.task):
        return True
    facts = gather_canonical(tx, project, found.task, at=tx.now, judged=True)
    trip = Trip(project, facts, found.asker)
    return decision_for(found.task, member_of(found.task), asked, trip).permitted


def _hold(tx: Transaction, project: Project, found: Tracked) -> None:
    """Put a request on hold, here: without a permit its provider is not told either."""
    reason = {"coding": [{"system": BUSINESS, "code": WITHDRAWN}]}
    changed = {"status": "on-hold", "statusReason": reason, "lastModified": tx.now}
    record(tx, project, found, {**found.task, **changed}, "held")
    body = {"task": f"Task/{found.task['id']}", "reason": WITHDRAWN}
    tx.audit.append("records.held", body, actor="engine")


def _go_on(tx: Transaction, project: Project, found: Tracked) -> None:
    """Let a request go on as it was before it was held."""
    versions = (loads(row.body) for row in reversed(tx.resources.versions("Task", _id(found))))
    before: Resource = next((one for one in versions if not is_held(one)), {})
    reason = before.get("statusReason")
    kept = {name: part for name, part in found.task.items() if name != "statusReason"}
    kept |= {"status": before.get("status", "requested"), "lastModified": tx.now}
    record(tx, project, found, kept | ({"statusReason": reason} if reason else {}), "resumed")
    body = {"task": f"Task/{found.task['id']}"}
    tx.audit.append("records.resumed", body, actor="engine")


def _id(found: Tracked) -> str:
    return str(found.task["id"])
