"""Calls and meetings on record: the Task is produced when its delivery is carried out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from engine.coordination import outreach, outreach_truth
from engine.coordination.happening import Happening
from engine.coordination.outreach_id import task_id
from engine.coordination.outreach_sending import why_not
from engine.coordination.producing import NOBODY, produce
from engine.deliver.answer import Reply
from engine.errors import StoreError
from engine.fhir.json import loads
from engine.message import Next, Resource
from engine.outreach.dispatch import Dispatch
from engine.outreach.tasks import OUTREACH_TASK, task
from engine.project import Project
from engine.store import DeliveryRow, Store, Transaction
from engine.transform.crosswalk import Links, reference_key

_NOT_DONE = ("failed", "rejected", "cancelled", "entered-in-error")


class _Refused(Exception):  # noqa: N818 - it takes a transaction's work back, and never leaves here
    """Say that the rules do not let the Task stand."""


@dataclass(frozen=True)
class Assigner:
    """Give the owner of calls or meetings a Task, durably, once for each delivery."""

    store: Store
    project: Callable[[], Project]

    async def __call__(self, dispatch: Dispatch, invite: bytes | None) -> Reply:
        """Return 202 once the Task is on record, 422 where the rules refuse it.

        It goes where routes lead, if consent covers that too; else it is on record only, for the
        acting system's own people to read.
        """
        for to in (None, NOBODY):
            try:
                await self._write(dispatch, invite, to)
            except _Refused:
                continue
            except StoreError:
                return Reply(503)
            return Reply(202)
        return Reply(422)

    async def _write(self, dispatch: Dispatch, invite: bytes | None, to: str | None) -> None:
        project = self.project()
        work = partial(_assign, project=project, dispatch=dispatch, invite=invite, to=to)
        await asyncio.wrap_future(self.store.write(work))


def _assign(
    tx: Transaction,
    project: Project,
    dispatch: Dispatch,
    invite: bytes | None,
    to: str | None,
) -> None:
    coordination, id = project.config.coordination, task_id(dispatch.key)
    media = coordination.media if coordination is not None else None
    settings = media and (media.meeting if dispatch.medium == "meeting" else media.phone)
    if coordination is None or not settings:
        raise _Refused
    if tx.resources.get("Task", id) is not None:
        return
    acting = coordination.acting
    links = Links(tx.crosswalk.resolve(project.organization_keys()), {})
    requester = project.organization(acting, links)
    made = task(dispatch, settings.owner, id, requester, invite)
    cause = f"outreach {dispatch.delivery}"
    produced = produce(tx, project, acting, [made], cause=cause, to=to)
    if not all(isinstance(outcome, Next) for outcome in produced.outcomes):
        raise _Refused
    tx.crosswalk.link({reference_key(acting, f"Task/{id}"): id}, source="engine")


def concerns(tx: Transaction, project: Project, canonical: Resource) -> bool:
    """Tell whether a resource may be a report about a call, or take back what is to be said."""
    if canonical["resourceType"] == "Communication":
        return outreach.media_of(project) is not None and outreach_truth.is_ended(canonical)
    return bool(canonical["resourceType"] == "Task")


def react(tx: Transaction, project: Project, happening: Happening) -> None:
    """See what people report about calls and meetings, and what they are to say no more."""
    for unit in happening.units:
        if unit.type == "Communication" and unit.member is not None and unit.version != 1:
            take_back(tx, project, unit.member, unit.resource)
        if unit.type != "Task" or unit.resource is None:
            continue
        row = tx.resources.get("Task", unit.resource.partition("/")[2])
        if row is None or row.deleted:
            continue
        found = loads(row.body)
        if (delivery := _delivery_of(tx, found)) is not None:
            _reported(tx, delivery, str(found.get("status")))


def take_back(tx: Transaction, project: Project, member: str, of: str | None = None) -> None:
    """Cancel the calls and meetings about a member that may not be held any more.

    `of` names the one Communication whose calls are looked at.
    """
    for row in tx.resources.of_member("Task", tx.crosswalk.same(member)):
        found = loads(row.body)
        delivery = _delivery_of(tx, found)
        if delivery is None or found.get("status") in ("completed", *_NOT_DONE):
            continue
        if of in (None, delivery.envelope["reference"]) and (
            reason := why_not(tx, project, delivery)
        ):
            _cancel(tx, project, found, delivery, reason)


def _delivery_of(tx: Transaction, found: Resource) -> DeliveryRow | None:
    for one in found.get("identifier") or ():
        if one.get("system") == OUTREACH_TASK:
            row = tx.deliveries.get(str(one.get("value")))
            return row if row is not None and task_id(row.idempotency_key) == found["id"] else None
    return None


def _cancel(
    tx: Transaction, project: Project, found: Resource, delivery: DeliveryRow, reason: str
) -> None:
    """Cancel a Task and take its script away, also where it was sent on."""
    coordination = project.config.coordination
    if coordination is None:
        return
    bare = {name: value for name, value in found.items() if name != "input"}
    bare |= {"status": "cancelled", "statusReason": {"text": reason}}
    produce(tx, project, coordination.acting, [bare], cause=f"outreach {delivery.id} withdrawn")
    body = {"task": f"Task/{found['id']}", "reason": reason}
    tx.audit.append("outreach.withdrawn", body, message=delivery.message_id, unit=delivery.unit_id)
    if (timer := outreach.plan_of(tx, delivery)) is not None:
        outreach_truth.settle(tx, timer)


def _reported(tx: Transaction, delivery: DeliveryRow, status: str) -> None:
    if status in _NOT_DONE:
        outreach.fall_back(tx, delivery, f"task-{status}")
    if (timer := outreach.plan_of(tx, delivery)) is not None:
        outreach_truth.settle(tx, timer)
