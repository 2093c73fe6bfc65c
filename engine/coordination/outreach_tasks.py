"""Calls and meetings on record: the Task is produced when its delivery is carried out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from engine.coordination import outreach, outreach_truth
from engine.coordination.happening import Happening
from engine.coordination.outreach_id import task_id
from engine.coordination.producing import produce
from engine.deliver.answer import Reply
from engine.errors import StoreError
from engine.fhir.json import loads
from engine.message import Next
from engine.outreach.dispatch import Dispatch
from engine.outreach.tasks import OUTREACH_TASK, task
from engine.project import Project
from engine.store import Store, Transaction
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
        """Return 202 once the Task is on record, 422 where the rules refuse it."""
        project = self.project()
        try:
            await asyncio.wrap_future(
                self.store.write(lambda tx: _assign(tx, project, dispatch, invite))
            )
        except _Refused:
            return Reply(422)
        except StoreError:
            return Reply(503)
        return Reply(202)


def _assign(tx: Transaction, project: Project, dispatch: Dispatch, invite: bytes | None) -> None:
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
    produced = produce(tx, project, acting, [made], cause=f"outreach {dispatch.delivery}")
    if not all(isinstance(outcome, Next) for outcome in produced.outcomes):
        raise _Refused
    tx.crosswalk.link({reference_key(acting, f"Task/{id}"): id}, source="engine")


def react(tx: Transaction, project: Project, happening: Happening) -> None:
    """See what people report about calls and meetings: told, or to be told another way."""
    for unit in happening.units:
        if unit.type != "Task" or unit.resource is None:
            continue
        row = tx.resources.get("Task", unit.resource.partition("/")[2])
        if row is None or row.deleted:
            continue
        found = loads(row.body)
        for one in found.get("identifier") or ():
            if one.get("system") == OUTREACH_TASK:
                _reported(tx, row.id, str(one.get("value")), str(found.get("status")))


def _reported(tx: Transaction, task: str, delivery: str, status: str) -> None:
    row = tx.deliveries.get(delivery)
    if row is None or task_id(row.idempotency_key) != task:
        return
    if status in _NOT_DONE:
        outreach.fall_back(tx, row, f"task-{status}")
    if (timer := outreach.plan_of(tx, row)) is not None:
        outreach_truth.settle(tx, timer)
