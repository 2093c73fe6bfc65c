"""Notifications of other systems: who may notify us, and what a notification says."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.clock import after
from engine.config.records import Subscribe
from engine.diagnostics import Diagnostic
from engine.message import Resource
from engine.store import Transaction, WatchRow
from engine.transform.crosswalk import literal

PATH = "$notify"
"""The last but one step of the endpoint of each of our own subscriptions."""

MOST = 1_000
"""How many events one notification may tell of."""

_KINDS = frozenset({"handshake", "heartbeat", "event-notification"})
_ANSWERS = frozenset({"query-status", "query-event"})
_ENDED = frozenset({"error", "off", "entered-in-error"})
_NOBODY = "0" * 64


@dataclass(frozen=True, slots=True)
class Heard:
    """Hold what a notification says: its kind, of which subscription, and the events by number."""

    kind: str
    subscription: str
    status: str
    since: int | None
    events: Mapping[int, str | None]


def digest_of(secret: str) -> str:
    """Return what is kept of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def bears(watch: WatchRow | None, secret: str) -> bool:
    """Tell whether a secret is that of a watch; takes the same time for every one."""
    known = watch.digest if watch is not None else _NOBODY
    return hmac.compare_digest(digest_of(secret), known) and watch is not None


def understood(bundle: Resource) -> Heard | Diagnostic:
    """Read a notification Bundle (backport-subscription-notification-r4); nothing is trusted."""
    entries = bundle.get("entry")
    first = entries[0] if isinstance(entries, list) and entries else None
    status = first.get("resource") if isinstance(first, Mapping) else None
    if bundle.get("type") != "history" or not isinstance(status, Mapping):
        return _problem("This is no history Bundle that begins with a status.", "Bundle.entry[0]")
    if status.get("resourceType") != "Parameters":
        return _problem("The first entry is no Parameters.", "Bundle.entry[0].resource")
    listed = [one for one in _listed(status.get("parameter")) if isinstance(one, Mapping)]
    return _heard(listed)


def _heard(parameters: list[Mapping[str, Any]]) -> Heard | Diagnostic:
    path = "Bundle.entry[0].resource.parameter"
    reference = _value(parameters, "subscription", "valueReference")
    named = reference.get("reference") if isinstance(reference, Mapping) else None
    target = literal(named) if isinstance(named, str) else None
    kind, state = (_value(parameters, name, "valueCode") for name in ("type", "status"))
    if target is None or target.type != "Subscription":
        return _problem("The status names no Subscription.", path)
    told = isinstance(kind, str) and isinstance(state, str)
    if not told or kind not in _KINDS | _ANSWERS:
        return _problem("The status does not say what kind of notification this is.", path)
    since = _number(_value(parameters, "events-since-subscription-start", "valueString"))
    events = [one for one in parameters if one.get("name") == "notification-event"]
    if len(events) > MOST:
        return _problem("The notification tells of too many events.", path)
    numbered = dict(_event(one) for one in events)
    if None in numbered:
        return _problem("An event has no number.", path)
    known = {number: at for number, at in numbered.items() if number is not None}
    return Heard(str(kind), target.id, state, since, known)


def _event(event: Mapping[str, Any]) -> tuple[int | None, str | None]:
    """Return the number of an event, and its focus as `Type/id` where it has one."""
    parts = [one for one in _listed(event.get("part")) if isinstance(one, Mapping)]
    focus = _value(parts, "focus", "valueReference")
    named = focus.get("reference") if isinstance(focus, Mapping) else None
    target = literal(named) if isinstance(named, str) else None
    number = _number(_value(parts, "event-number", "valueString"))
    return number, None if target is None else target.local


def _number(text: Any) -> int | None:
    """Return a whole number that is written as text, as the guide has it for R4, or as one."""
    written = str(text) if isinstance(text, str | int) and not isinstance(text, bool) else ""
    return int(written) if written.isascii() and written.isdigit() and len(written) < 16 else None


def _value(parameters: Iterable[Mapping[str, Any]], name: str, key: str) -> Any:
    return next((one.get(key) for one in parameters if one.get("name") == name), None)


def _listed(given: Any) -> list[Any]:
    return given if isinstance(given, list) else []


def _problem(said: str, path: str) -> Diagnostic:
    return Diagnostic("S021", said, path=path)


def hear(tx: Transaction, watch: WatchRow, heard: Heard, settings: Subscribe) -> Diagnostic | None:
    """Take a notification in, durably: what it tells of is looked at afterwards.

    A number that was heard last changes nothing; a lower one lets everything open be asked for
    once. The first sign of life makes the watch active; a subscription that is in error over
    there ends it, until the next try.
    """
    if heard.kind in _ANSWERS:
        return _problem("This is an answer, no notification.", "Bundle.entry[0].resource")
    if watch.remote is not None and watch.remote != heard.subscription:
        return _problem("This is another subscription's notification.", "Bundle.entry[0].resource")
    if heard.status in _ENDED:
        fail(tx, watch, heard.status, settings)
        return None
    top = max([heard.since or 0, *heard.events])
    if watch.state != "active":
        activate(tx, watch, heard.subscription, settings)
    tx.watches.hear(watch.id, top, heard.events.items())
    again = {"behind": True} if top < watch.heard else {}
    tx.watches.change(watch.id, due=after(tx.now, 2 * settings.heartbeat), **again)
    return None


def activate(tx: Transaction, watch: WatchRow, remote: str, settings: Subscribe) -> None:
    """Let a watch be active; what happened before it is asked for once."""
    due = after(tx.now, 2 * settings.heartbeat)
    if tx.watches.change(watch.id, state="active", remote=remote, due=due, behind=True):
        tx.audit.append("watch.active", {"system": watch.system, "watch": watch.id})


def fail(tx: Transaction, watch: WatchRow, reason: str, settings: Subscribe) -> None:
    """Let a watch be in error: its system is polled, and asked again after a while."""
    due = after(tx.now, settings.retry)
    if tx.watches.change(watch.id, state="error", reason=reason, due=due):
        body = {"system": watch.system, "watch": watch.id, "reason": reason}
        tx.audit.append("watch.error", body)
