"""What a system does with its own subscriptions: create, change, end, look at, catch up."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.clock import after
from engine.diagnostics import Diagnostic, operation_outcome
from engine.fhir.json import dumps, loads
from engine.message import Message, Resource
from engine.project import Project
from engine.store import SubscriptionRow, Transaction, UnitRow
from engine.subscriptions.asked import CONTENTS, Asked, Content, masked, read
from engine.subscriptions.bundles import NO_ANSWER, notification, status
from engine.subscriptions.lifecycle import (
    ASKED_OFF,
    DELETED,
    asked_of,
    begin,
    begin_again,
    delete,
    line_of,
    off,
    renewed,
    resource_of,
    sealed,
    secrets_of,
)
from engine.subscriptions.telling import told_now

MOST_EVENTS = 100
"""How many events one answer of `$events` has at most."""

_ERRORS = {NO_ANSWER: "The endpoint did not answer."}
_UNKNOWN = Diagnostic("R006", "Nothing is known here under this id, or not for this reader.")


@dataclass(frozen=True, slots=True)
class Answer:
    """Hold what a request about subscriptions is answered: status, resource, id and version."""

    status: int
    body: Resource | None = None
    id: str | None = None
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """Hold what a system sent: the resource, and what makes it one submission."""

    system: str
    resource: Resource
    digest: str
    key: str | None = None


def sent(system: str, resource: Resource, body: bytes, key: str | None) -> Sent:
    """Return a submission; `body` is only digested, since it may hold secrets."""
    digest = hashlib.sha256(body).hexdigest()
    return Sent(system, resource, digest, f"header {key}" if key else None)


def create(tx: Transaction, project: Project, given: Sent) -> Answer:
    """Take a Subscription in; the same submission twice makes one subscription."""
    if (again := _repeated(tx, project, given, new=True)) is not None:
        return again
    hooks = project.config.systems[given.system].hooks
    if not hooks:
        said = "No endpoints are configured for this system."
        return _refused(tx, given, 403, [Diagnostic("S010", said)])
    asked = read(given.resource, hooks, at=tx.now)
    if not isinstance(asked, Asked):
        return _refused(tx, given, 422, asked)
    if (problem := _too_many(tx, project, given.system)) is not None:
        return _refused(tx, given, 422, [problem])
    row = _row(tx, given, asked, tx.ids.new())
    told = _told(row)
    _keep(tx, given, row, Answer(201, told))
    tx.subscriptions.add(row)
    begin(tx, row, asked.ends)
    return Answer(201, told, row.id, row.version)


def update(tx: Transaction, project: Project, id: str, given: Sent) -> Answer:
    """Take a Subscription anew: another endpoint, a new handshake after an error, or its end."""
    before = _own(tx, given.system, id)
    if before is None:
        return Answer(404, operation_outcome([_UNKNOWN]))
    if (again := _repeated(tx, project, given, new=False)) is not None:
        return again
    hooks, headers = project.config.systems[given.system].hooks, secrets_of(before)
    asked = read(
        given.resource, hooks, at=tx.now, before=headers, statuses=("requested", "active", "off")
    )
    if not isinstance(asked, Asked):
        return _refused(tx, given, 422, asked)
    if asked.topic.url != before.topic:
        said = "A subscription stays with its topic."
        problem = Diagnostic("S006", said, path="Subscription.criteria", expected=before.topic)
        return _refused(tx, given, 422, [problem])
    if asked.status == "off":
        off(tx, before, ASKED_OFF)
        return Answer(200, _told(tx.subscriptions.get(id) or before), id, before.version)
    if before.state == "off":
        if (crowded := _too_many(tx, project, given.system)) is not None:
            return _refused(tx, given, 422, [crowded])
        tx.subscriptions.again(id)
    fresh = _row(tx, given, asked, id)
    row = renewed(
        before,
        state="requested",
        reason=None,
        changed=tx.now,
        ends=asked.ends,
        message_id=fresh.message_id,
        unit_id=fresh.unit_id,
        body=fresh.body,
        headers=fresh.headers,
    )
    told = _told(row)
    _keep(tx, given, row, Answer(200, told))
    tx.subscriptions.change(row)
    begin_again(tx, row, asked.ends)
    return Answer(200, told, id, row.version)


def remove(tx: Transaction, system: str, id: str) -> Answer:
    """End a subscription and forget it towards its system."""
    row = _own(tx, system, id)
    if row is None:
        return Answer(404, operation_outcome([_UNKNOWN]))
    delete(tx, row)
    return Answer(204)


def found(tx: Transaction, system: str, id: str) -> Answer:
    """Return a subscription as its system sees it."""
    row = _own(tx, system, id)
    if row is None:
        return Answer(404, operation_outcome([_UNKNOWN]))
    return Answer(200, _told(row), id, row.version)


def listed(
    tx: Transaction, system: str, base: str, self_link: str, wanted: Mapping[str, Sequence[str]]
) -> Resource:
    """Return a searchset of a system's own subscriptions, by `_id`, `status`, `url`, `topic`."""
    rows = [row for row in _all(tx, system) if _is_wanted(row, wanted)]
    entries = [
        {
            "fullUrl": f"{base}/Subscription/{row.id}",
            "resource": _told(row),
            "search": {"mode": "match"},
        }
        for row in rows
    ]
    return _searchset(entries, self_link)


def statuses(
    tx: Transaction, system: str, base: str, self_link: str, wanted: Mapping[str, Sequence[str]]
) -> Resource:
    """Return the answer of `$status`: the present status of a system's own subscriptions."""
    entries = [
        {
            "fullUrl": f"urn:uuid:{one['id']}",
            "resource": one,
            "search": {"mode": "match"},
        }
        for row in _all(tx, system)
        if _is_wanted(row, wanted)
        for one in [_status(row, base)]
    ]
    return _searchset(entries, self_link)


def _status(row: SubscriptionRow, base: str) -> Resource:
    content = asked_of(row).content
    return status(row, base, "query-status", since=row.events, content=content)


def events(
    tx: Transaction,
    project: Project,
    system: str,
    id: str,
    *,
    first: int = 1,
    last: int | None = None,
    content: str | None = None,
) -> Answer:
    """Return the answer of `$events`: what happened, as the system may be told it now."""
    row = _own(tx, system, id)
    if row is None:
        return Answer(404, operation_outcome([_UNKNOWN]))
    wanted = _content(content) or asked_of(row).content
    until = row.events if last is None else min(last, row.events)
    happened = told_now(
        tx,
        project,
        system,
        tx.subscriptions.events(id, max(first, 1), until, MOST_EVENTS),
        wanted,
    )
    bundle = notification(
        row,
        project.config.server.base,
        "query-event",
        at=tx.now,
        since=row.events,
        content=wanted,
        happened=happened,
    )
    return Answer(200, bundle, id, row.version)


def _content(asked: str | None) -> Content | None:
    return next((one for one in CONTENTS if one == asked), None)


def _own(tx: Transaction, system: str, id: str) -> SubscriptionRow | None:
    row = tx.subscriptions.get(id)
    if row is None or row.system != system or row.reason == DELETED:
        return None
    return row


def _all(tx: Transaction, system: str) -> Iterable[SubscriptionRow]:
    return (row for row in tx.subscriptions.of_system(system) if row.reason != DELETED)


def _is_wanted(row: SubscriptionRow, wanted: Mapping[str, Sequence[str]]) -> bool:
    known = {"_id": row.id, "status": row.state, "topic": row.topic, "criteria": row.topic}
    if "url" in wanted:
        known["url"] = asked_of(row).endpoint
    return all(known[name] in values for name, values in wanted.items() if name in known)


def _searchset(entries: Sequence[Resource], self_link: str) -> Resource:
    bundle: Resource = {
        "resourceType": "Bundle",
        "type": "searchset",
        "total": len(entries),
        "link": [{"relation": "self", "url": self_link}],
    }
    return {**bundle, "entry": list(entries)} if entries else bundle


def _row(tx: Transaction, given: Sent, asked: Asked, id: str) -> SubscriptionRow:
    """Return a subscription as it is kept when it is new: requested, and without secrets inside."""
    return SubscriptionRow(
        id,
        given.system,
        "requested",
        asked.topic.url,
        1,
        tx.now,
        tx.now,
        asked.ends,
        tx.subscriptions.end(),
        0,
        None,
        tx.ids.new(),
        tx.ids.new(),
        dumps(masked(given.resource)),
        sealed(asked.headers),
    )


def _told(row: SubscriptionRow) -> Resource:
    """Return a subscription as it is read back: its state from the record, its secrets masked."""
    resource = resource_of(row)
    meta = resource.get("meta")
    bare = {name: part for name, part in resource.items() if name not in ("error", "_status")}
    error = {"error": _ERRORS.get(row.reason or "", "The endpoint refused.")}
    return {
        **bare,
        "id": row.id,
        "meta": {
            **(meta if isinstance(meta, dict) else {}),
            "versionId": str(row.version),
            "lastUpdated": row.changed,
        },
        "status": row.state,
        **(error if row.state == "error" else {}),
    }


def _keep(tx: Transaction, given: Sent, row: SubscriptionRow, answer: Answer) -> None:
    """Put a submission on record as any other, but without its secrets."""
    verb = "create Subscription" if row.version == 1 else f"update {line_of(row.id)}"
    message = Message(row.message_id, given.system, verb, given.key, given.digest, tx.now, row.body)
    tx.messages.add(
        message,
        [line_of(row.id)],
        state="accepted",
        status=answer.status,
        response=dumps(answer.body or {}),
    )
    tx.units.add([_unit(row)])
    noted: dict[str, Any] = {"digest": given.digest, "interaction": verb, "status": answer.status}
    tx.audit.append("message.accepted", noted, message=message.id, actor=given.system)
    told = {"subscription": line_of(row.id), "topic": row.topic, "version": row.version}
    tx.audit.append(
        "subscription.requested", told, message=message.id, unit=row.unit_id, actor=given.system
    )


def _unit(row: SubscriptionRow) -> UnitRow:
    return UnitRow(
        id=row.unit_id,
        message_id=row.message_id,
        entry=0,
        type="Subscription",
        state="accepted",
        resource=line_of(row.id),
    )


def _too_many(tx: Transaction, project: Project, system: str) -> Diagnostic | None:
    most = project.config.limits.subscriptions
    if sum(row.state != "off" for row in tx.subscriptions.of_system(system)) < most:
        return None
    return Diagnostic("S007", f"This system has {most} subscriptions already.")


def _repeated(tx: Transaction, project: Project, given: Sent, *, new: bool) -> Answer | None:
    """Return the first answer to a submission that came before.

    The same body without a key repeats only the creation of what is still there.
    """
    since = after(tx.now, -project.config.window)
    digest = given.digest if new else None
    repeat = tx.messages.find_duplicate(given.system, given.key, digest, since)
    if repeat is None:
        return None
    if repeat.message.digest != given.digest:
        said = "This idempotency key came before with another body."
        return Answer(409, operation_outcome([Diagnostic("R005", said)]))
    body = loads(repeat.message.response or b"{}")
    row = tx.subscriptions.get(str(body.get("id")))
    if row is None or (repeat.by == "digest" and row.state == "off"):
        return None
    return Answer(repeat.message.status or 200, body, row.id, int(body["meta"]["versionId"]))


def _refused(tx: Transaction, given: Sent, code: int, problems: Sequence[Diagnostic]) -> Answer:
    body = {"digest": given.digest, "codes": [problem.code for problem in problems]}
    tx.audit.append("message.refused", body, actor=given.system)
    return Answer(code, operation_outcome(problems))
