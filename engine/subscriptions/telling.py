"""At the moment of sending: a notification written as its subscriber may be told it now."""

from __future__ import annotations

from collections.abc import Iterable

from engine.deliver.ports import Delivery, Permit, Ruling, Withhold
from engine.project import Project
from engine.reading import Reading, reading_of
from engine.store import EventRow, SubscriptionRow, Transaction
from engine.subscriptions.asked import Asked, Content, allowed
from engine.subscriptions.bundles import Happened, Kind, notification
from engine.subscriptions.hooks import Note
from engine.subscriptions.lifecycle import (
    ENDED,
    NOT_ALLOWED,
    asked_of,
    failed,
    off,
    shaken,
)

OVER = "subscription-over"
"""Why a notification is withheld whose subscription is not what it was."""


def judge(tx: Transaction, project: Project, delivery: Delivery) -> Permit | Withhold:
    """Write a notification; what the subscriber may not read now is told by its number only."""
    envelope = delivery.envelope
    kind: Kind = envelope["kind"]
    row = tx.subscriptions.get(envelope["subscription"])
    if row is None or row.state != ("requested" if kind == "handshake" else "active"):
        return Withhold(OVER)
    if kind == "handshake" and envelope["revision"] != row.version:
        return Withhold(OVER)
    if row.ends is not None and row.ends <= tx.now:
        off(tx, row, ENDED)
        return Withhold(OVER)
    asked, system = asked_of(row), project.config.systems.get(row.system)
    if system is None or not allowed(asked.endpoint, system.hooks):
        off(tx, row, NOT_ALLOWED)
        return Withhold(OVER)
    if kind != "event-notification":
        return Permit(body=_note(project, row, asked, kind, tx.now, envelope["since"]))
    event = tx.subscriptions.event(row.id, envelope["number"])
    if event is None:
        return Withhold("record-missing")
    happened, reading = _happened(tx, project, row.system, event, asked.content)
    told = _note(project, row, asked, kind, tx.now, event.number, [happened])
    return Permit(_ruling(row.system, reading), told)


def _note(
    project: Project,
    row: SubscriptionRow,
    asked: Asked,
    kind: Kind,
    at: str,
    since: int,
    happened: Iterable[Happened] = (),
) -> bytes:
    bundle = notification(
        row,
        project.config.server.base,
        kind,
        at=at,
        since=since,
        content=asked.content,
        happened=list(happened),
    )
    return Note(asked.endpoint, bundle, asked.headers, asked.timeout).encoded()


def _ruling(system: str, reading: Reading | None) -> Ruling | None:
    decision = reading.decision if reading is not None else None
    if decision is None:
        return None
    return Ruling(decision.decision, decision.code, decision.record(system))


def _happened(
    tx: Transaction, project: Project, system: str, event: EventRow, content: Content
) -> tuple[Happened, Reading | None]:
    """Return an event as a system may be told it, and the reading that this rests on."""
    if content == "empty":
        return Happened(event.number, event.at), None
    reading = reading_of(tx, project, system, event.resource)
    return Happened(event.number, event.at, reading.resource, event.version == 1), reading


def told_now(
    tx: Transaction, project: Project, system: str, events: Iterable[EventRow], content: Content
) -> list[Happened]:
    """Return events as a system that asks for them may be told them now."""
    return [_happened(tx, project, system, event, content)[0] for event in events]


def delivered(tx: Transaction, delivery: Delivery) -> None:
    """Let a subscription be active once its endpoint took the handshake."""
    row = tx.subscriptions.get(delivery.envelope["subscription"])
    if row is None or delivery.envelope["kind"] != "handshake":
        return
    if delivery.envelope["revision"] == row.version:
        shaken(tx, row)


def gave_up(tx: Transaction, delivery: Delivery) -> None:
    """Let a subscription be in error whose endpoint did not take a notification for good."""
    row = tx.subscriptions.get(delivery.envelope["subscription"])
    if row is None:
        return
    attempts = tx.attempts.of_delivery(delivery.id)
    failed(tx, row, answered=bool(attempts) and attempts[-1].status is not None)
