"""The life of a subscription: asked for, shaken hands on, active, in error, ended."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson

from engine.clock import after
from engine.fhir.json import loads
from engine.message import Resource
from engine.project import Project
from engine.store import DeliveryRow, NewDelivery, SubscriptionRow, TimerRow, Transaction
from engine.subscriptions.asked import Asked, Headers, kept
from engine.subscriptions.bundles import BAD_ANSWER, NO_ANSWER, Kind
from engine.subscriptions.hooks import destination_of

HEARTBEAT = "subscription-heartbeat"
ENDING = "subscription-end"
ENDED, DELETED, ASKED_OFF, NOT_ALLOWED = "ended", "deleted", "asked", "endpoint-not-allowed"
_GOING = ("requested", "active", "error")
_LINE = 1000


def secrets_of(row: SubscriptionRow) -> Headers:
    """Return the headers that a subscriber set, with their values."""
    found: list[list[str]] = orjson.loads(row.headers) if row.headers is not None else []
    return tuple((name, value) for name, value in found)


def sealed(headers: Headers) -> bytes | None:
    """Return headers as a subscription keeps them."""
    return orjson.dumps([list(header) for header in headers]) if headers else None


def resource_of(row: SubscriptionRow) -> Resource:
    """Return the Subscription as it was sent, its secrets masked."""
    found: Resource = loads(row.body)
    return found


def asked_of(row: SubscriptionRow) -> Asked:
    """Return what a subscription on record asks for."""
    return kept(resource_of(row), secrets_of(row))


def begin(tx: Transaction, row: SubscriptionRow, ends: str | None) -> None:
    """Let a requested subscription be shaken hands on, and end when it should."""
    tell(tx, row, "handshake", {"revision": row.version, "since": row.events})
    if ends is not None:
        key = f"{ENDING} {row.id} {row.version}"
        tx.timers.set(key, ENDING, ends, {"subscription": row.id, "version": row.version})


def begin_again(tx: Transaction, row: SubscriptionRow, ends: str | None) -> None:
    """Let a changed subscription be shaken hands on, before the events that wait in its line."""
    waiting = sorted(_in_line(tx, row, "waiting"), key=lambda one: one.sequence)
    _clear(tx, row, "subscription-changed")
    begin(tx, row, ends)
    for one in waiting:
        if one.envelope["kind"] == "event-notification":
            caused = replace(row, message_id=one.message_id, unit_id=one.unit_id)
            tell(tx, caused, "event-notification", {"number": one.envelope["number"]})


def tell(tx: Transaction, row: SubscriptionRow, kind: Kind, about: dict[str, Any]) -> str:
    """Put a notification at the end of a subscription's line; it is written when it is sent."""
    return tx.deliveries.enqueue(
        NewDelivery(
            message_id=row.message_id,
            unit_id=row.unit_id,
            destination=destination_of(row.system),
            member=line_of(row.id),
            type="Subscription",
            body=b"",
            envelope={
                "subscription": row.id,
                "reference": line_of(row.id),
                "kind": kind,
                **about,
            },
        )
    )


def line_of(id: str) -> str:
    """Return the name of a subscription's line in the outbox."""
    return f"Subscription/{id}"


def shaken(tx: Transaction, row: SubscriptionRow) -> None:
    """Let a subscription be active whose endpoint took the handshake."""
    if not tx.subscriptions.move(row.id, "active", None, was=["requested"]):
        return
    _note(tx, row, "active")
    period = asked_of(row).heartbeat
    if period is not None:
        _next_heartbeat(tx, row, period, 1)


def failed(tx: Transaction, row: SubscriptionRow, *, answered: bool) -> None:
    """Let a subscription be in error whose endpoint did not take a notification.

    What stands in its line is given up: the numbers go on, and `$events` has what was missed.
    """
    reason = BAD_ANSWER if answered else NO_ANSWER
    if tx.subscriptions.move(row.id, "error", reason, was=["requested", "active"]):
        _note(tx, row, "error", reason=reason)
        _clear(tx, row, "subscription-error")


def off(tx: Transaction, row: SubscriptionRow, reason: str) -> None:
    """End a subscription for good."""
    if tx.subscriptions.move(row.id, "off", reason, was=_GOING):
        _note(tx, row, "off", reason=reason)
        _clear(tx, row, "subscription-off")


def delete(tx: Transaction, row: SubscriptionRow) -> None:
    """Remove a subscription from its system's sight."""
    off(tx, row, DELETED)
    tx.subscriptions.move(row.id, "off", DELETED, was=["off"])


def goes_on(tx: Transaction, project: Project, timer: TimerRow) -> None:
    """Send a sign of life, unless something waits for the endpoint already; set the next one."""
    row = _of_timer(tx, timer)
    if row is None or row.state != "active":
        return
    period = asked_of(row).heartbeat
    if period is None:
        return
    if not _stands(tx, row):
        number = int(timer.body["number"])
        tell(tx, row, "heartbeat", {"since": row.events, "heartbeat": number})
    _next_heartbeat(tx, row, period, int(timer.body["number"]) + 1)


def comes_to_its_end(tx: Transaction, project: Project, timer: TimerRow) -> None:
    """End a subscription at the instant that it named itself."""
    row = _of_timer(tx, timer)
    if row is not None:
        off(tx, row, ENDED)


def _of_timer(tx: Transaction, timer: TimerRow) -> SubscriptionRow | None:
    """Return the subscription of a timer, unless it was changed since the timer was set."""
    row = tx.subscriptions.get(timer.body["subscription"])
    return row if row is not None and row.version == timer.body["version"] else None


def _next_heartbeat(tx: Transaction, row: SubscriptionRow, period: int, number: int) -> None:
    body = {"subscription": row.id, "version": row.version, "number": number}
    key = f"{HEARTBEAT} {row.id} {row.version} {number}"
    tx.timers.set(key, HEARTBEAT, after(tx.now, period), body)


def _stands(tx: Transaction, row: SubscriptionRow) -> bool:
    """Tell whether anything of a subscription is on its way or waits to be."""
    return any(_in_line(tx, row, state, 1) for state in ("waiting", "leased"))


def _clear(tx: Transaction, row: SubscriptionRow, reason: str) -> None:
    """Give up what waits in the line of a subscription."""
    for state in ("waiting", "held"):
        for delivery in _in_line(tx, row, state):
            tx.deliveries.discard(delivery.id, reason, "engine")


def _in_line(
    tx: Transaction, row: SubscriptionRow, state: str, limit: int = _LINE
) -> list[DeliveryRow]:
    """Return what stands in the line of a subscription, in one state."""
    return tx.deliveries.search(
        state=state,
        destination=destination_of(row.system),
        members=[line_of(row.id)],
        limit=limit,
    )


def _note(tx: Transaction, row: SubscriptionRow, state: str, **more: str) -> None:
    body = {"subscription": f"Subscription/{row.id}", "system": row.system, **more}
    tx.audit.append(
        f"subscription.{state}", body, message=row.message_id, unit=row.unit_id, actor="engine"
    )


def renewed(row: SubscriptionRow, **changes: Any) -> SubscriptionRow:
    """Return the next version of a subscription."""
    return replace(row, version=row.version + 1, **changes)
