"""Records requests: asked of providers, tracked by their Tasks, answered, and reviewed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from engine.config.records import Records
from engine.coordination.notification import notify
from engine.coordination.producing import NOBODY, addressed, produce, produced_id
from engine.coordination.records_providers import Provider, organizations_of, systems_of
from engine.coordination.records_states import REVIEWABLE, WAITING, Stage
from engine.coordination.records_tasks import (
    Wanted,
    due_of,
    is_request,
    new_communication_request,
    new_task,
    outputs_of,
    reviewed,
    stage_of,
)
from engine.coordination.records_timers import is_tracked, track, watched
from engine.diagnostics import Diagnostic
from engine.gather import renamed, stored
from engine.message import Hold, Outcome, Reject, Resource
from engine.project import Project
from engine.road.identify import member_of
from engine.store import ResourceRow, Transaction
from engine.transform.crosswalk import Links

_PAGE = 500
_REQUESTS_OF_MEMBER = 1000


@dataclass(frozen=True, slots=True)
class Asking:
    """Say who asks for which records of whom; `cause` names this ask, for good.

    `delivered` are the systems that already got the CommunicationRequest `based_on` itself.
    """

    member: str
    system: str
    wanted: Wanted
    cause: str
    based_on: str | None = None
    delivered: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Asked:
    """Say what became of one request: `sent`, `tracked`, `held`, `refused`, `no-system`,
    `no-route` or `already` (it was asked before); `code` says why."""

    organization: str
    system: str | None
    current: bool
    state: str
    task: str | None = None
    code: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Render as plain data."""
        return asdict(self)


def ask(tx: Transaction, project: Project, asking: Asking, whom: Iterable[Provider]) -> list[Asked]:
    """Ask each provider for the member's records, each by a request that only it is sent.

    Where the consent does not cover a request it is refused, on record, and nothing leaves.
    """
    return [_ask_one(tx, project, asking, provider) for provider in whom]


def _ask_one(tx: Transaction, project: Project, asking: Asking, whom: Provider) -> Asked:
    def told(state: str, task: str | None = None, code: str | None = None) -> Asked:
        return Asked(whom.organization, whom.system, whom.current, state, task, code)

    if whom.system is None:
        return told("no-system")
    id = produced_id(f"records {asking.cause}", whom.organization)
    if tx.resources.get("Task", id) or is_tracked(tx, id, asking.wanted.due):
        return told("already", id)
    task = _task(tx, project, asking, whom, id)
    if whom.system in asking.delivered:
        outcome = _produce(tx, project, asking, task, NOBODY)
        state = "tracked"
    else:
        form = records_settings(project).form.get(whom.system, "task")
        type_name = "Task" if form == "task" else "CommunicationRequest"
        if not addressed(project, whom.system).legs(asking.system, type_name):
            return told("no-route")
        outcome, task = _send(tx, project, asking, task, whom.system, form)
        state = "sent"
    if isinstance(outcome, Reject):
        return told("refused", None, outcome.diagnostics[0].code)
    track(tx, id, task["restriction"]["period"]["end"], records_settings(project).reminders)
    listen(tx, project, whom.system)
    body = {"task": f"Task/{id}", "system": whom.system, "state": state}
    tx.audit.append("records.requested", body, actor=asking.system)
    if isinstance(outcome, Hold):
        return told("held", id, outcome.reason)
    notify(tx, project, asking.member, "records-requested", f"Task/{id}")
    return told(state, id)


def _task(tx: Transaction, project: Project, asking: Asking, whom: Provider, id: str) -> Resource:
    links = Links(tx.crosswalk.resolve(project.organization_keys()))
    return new_task(
        id,
        asking.member,
        project.organization(asking.system, links),
        {"reference": f"Organization/{whom.organization}"},
        asking.wanted,
        at=tx.now,
        group=produced_id("records", asking.cause),
        based_on=asking.based_on,
    )


def _send(
    tx: Transaction, project: Project, asking: Asking, task: Resource, to: str, form: str
) -> tuple[Outcome, Resource]:
    """Send the request in the form that the system takes; a Task keeps track of it either way."""
    if form == "task":
        return _produce(tx, project, asking, task, to), task
    request = new_communication_request(produced_id(task["id"], "communication-request"), task)
    outcome = _produce(tx, project, asking, request, to)
    if isinstance(outcome, Reject):
        return outcome, task
    task = {**task, "basedOn": [{"reference": f"CommunicationRequest/{request['id']}"}]}
    _produce(tx, project, asking, task, NOBODY)
    return outcome, task


def _produce(
    tx: Transaction, project: Project, asking: Asking, resource: Resource, to: str
) -> Outcome:
    made = produce(tx, project, asking.system, [resource], cause=f"records {asking.cause}", to=to)
    return made.outcomes[0]


def listen(tx: Transaction, project: Project, system: str | None) -> None:
    """Have a system's own word of a request subscribed to, where config says so."""
    known = project.config.systems.get(system or "")
    if known is not None and system is not None and known.updates == "subscription":
        tx.watches.want(system)


def records_settings(project: Project) -> Records:
    """Return the settings of records requests, also where the engine only carries."""
    coordination = project.config.coordination
    return coordination.records if coordination is not None else Records()


@dataclass(frozen=True, slots=True)
class Tracked:
    """Hold one request as it stands: who asks whom, its stage and when it is due."""

    task: Resource
    member: str | None
    asker: str
    asked: str | None
    stage: Stage
    since: str
    due: str

    def overdue(self, at: str) -> bool:
        """Tell whether an answer is still waited for after the due date."""
        return self.stage in WAITING and self.due <= at

    def to_json(self, at: str) -> dict[str, Any]:
        """Render as plain data, without what the records say."""
        return {
            "task": f"Task/{self.task['id']}",
            "member": self.member,
            "asker": self.asker,
            "asked": self.asked,
            "status": self.task["status"],
            "stage": self.stage,
            "since": self.since,
            "due": self.due,
            "overdue": self.overdue(at),
            "answers": list(outputs_of(self.task)),
        }


def tracked(tx: Transaction, project: Project, row: ResourceRow) -> Tracked | None:
    """Return a stored Task as a records request, or None where it is none."""
    task = renamed(tx, stored(row))
    if row.deleted or not is_request(task):
        return None
    first = tx.resources.version("Task", row.id, 1) or row
    systems = systems_of(tx, project)
    owners = organizations_of(tx, task.get("owner") or {})
    due = due_of(task, since=first.at, days=records_settings(project).due_days)
    asked = next((systems[one] for one in owners if one in systems), None)
    return Tracked(task, member_of(task), first.system, asked, stage_of(task), first.at, due)


def request(tx: Transaction, project: Project, id: str) -> Tracked | None:
    """Return the request of a Task's canonical id."""
    row = tx.resources.get("Task", id)
    return tracked(tx, project, row) if row is not None else None


def requests_of(tx: Transaction, project: Project, member: str) -> list[Tracked]:
    """Return the requests for a member's records."""
    rows = tx.resources.of_member("Task", tx.crosswalk.same(member))[:_REQUESTS_OF_MEMBER]
    return [found for row in rows if (found := tracked(tx, project, row)) is not None]


def all_requests(tx: Transaction, project: Project) -> Iterator[Tracked]:
    """Yield every request on record, in the order of their ids."""
    after = ""
    while page := tx.resources.of_type("Task", after=after, limit=_PAGE):
        for row in page:
            if (found := tracked(tx, project, row)) is not None:
                yield found
        after = page[-1].id


def open_requests(tx: Transaction, project: Project) -> Iterator[Tracked]:
    """Yield every request that an answer is waited for, without looking at any other."""
    for id in watched(tx):
        found = request(tx, project, id)
        if found is not None and found.stage in WAITING:
            yield found


def review(
    tx: Transaction, project: Project, id: str, *, by: str, verdict: str, note: str | None = None
) -> Diagnostic | None:
    """Record that a person looked at the answer to a request; say why where that cannot be."""
    found = request(tx, project, id)
    if found is None:
        return Diagnostic("G001", "No records request is known by this id.", path="Task.id")
    if found.stage not in REVIEWABLE:
        return Diagnostic(
            "G002",
            f"This request is {found.stage}: there is nothing to review.",
            path="Task.status",
            expected=" | ".join(sorted(REVIEWABLE)),
        )
    record(tx, project, found, reviewed(found.task, by, verdict, note, at=tx.now), "reviewed")
    note_review(tx, found, by, verdict)
    return None


def note_review(tx: Transaction, found: Tracked, by: str, verdict: str | None) -> None:
    """Put on record who reviewed which answers."""
    body: dict[str, Any] = {
        "task": f"Task/{found.task['id']}",
        "by": by,
        "answers": list(outputs_of(found.task)),
    }
    tx.audit.append("records.reviewed", body | ({"verdict": verdict} if verdict else {}))


def record(tx: Transaction, project: Project, found: Tracked, task: Resource, what: str) -> None:
    """Put a changed request on record for its asker; it goes to no system."""
    cause = f"records {what} {task['id']}"
    produce(tx, project, found.asker, [bare(task)], cause=cause, to=NOBODY)


def hand_over(
    tx: Transaction, project: Project, found: Tracked, task: Resource, system: str
) -> Outcome:
    """Let an answered request go to its asker, on behalf of the system that answered."""
    cause = f"records answer {task['id']}"
    made = produce(tx, project, system, [bare(task)], cause=cause, to=found.asker)
    return made.outcomes[0]


def bare(task: Resource) -> Resource:
    """Return a stored resource without the version and instant that the store gave it."""
    meta = {
        name: part
        for name, part in (task.get("meta") or {}).items()
        if name not in ("versionId", "lastUpdated")
    }
    bare = {name: part for name, part in task.items() if name != "meta"}
    return bare | ({"meta": meta} if meta else {})
