"""The CommunicationRequests that records requests carry out: settled once all of those are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from engine.coordination.producing import NOBODY, produce
from engine.coordination.records import Tracked, bare, requests_of
from engine.coordination.records_states import WAITING
from engine.fhir.references import iter_references
from engine.gather import renamed, stored
from engine.message import Resource
from engine.project import Project
from engine.store import Transaction

_PENDING = frozenset({"draft", *WAITING})
_GOT = frozenset({"answered", "reviewed"})


def settle_asked(tx: Transaction, project: Project, found: Tracked) -> None:
    """Complete what a request is based on once nothing of it is waited for any more.

    `completed` where somebody answered, `revoked` where nobody will: its activity ended without.
    """
    if found.stage in _PENDING or found.member is None:
        return
    for reference in _based_on(found.task):
        row = tx.resources.get("CommunicationRequest", reference.partition("/")[2])
        if row is None or row.deleted:
            continue
        asked = renamed(tx, stored(row))
        if asked.get("status") not in ("active", "on-hold"):
            continue
        known = requests_of(tx, project, found.member)
        same = [one for one in known if reference in _based_on(one.task)]
        if any(one.stage in _PENDING for one in same):
            continue
        status = "completed" if any(one.stage in _GOT for one in same) else "revoked"
        first = tx.resources.version("CommunicationRequest", row.id, 1) or row
        settled = {**bare(asked), "status": status}
        cause = f"records settled {row.id}"
        produce(tx, project, first.system, [settled], cause=cause, to=NOBODY)
        body = {"resource": f"CommunicationRequest/{row.id}", "status": status}
        tx.audit.append("records.settled", body, actor="engine")


def _based_on(task: Resource) -> tuple[str, ...]:
    """Return the CommunicationRequests that a Task carries out."""
    return tuple(_named({"resourceType": "Task", "basedOn": task.get("basedOn", [])}))


def _named(part: dict[str, Any]) -> Iterator[str]:
    for _, reference in iter_references(part):
        target = reference.get("reference")
        if isinstance(target, str) and target.startswith("CommunicationRequest/"):
            yield target
