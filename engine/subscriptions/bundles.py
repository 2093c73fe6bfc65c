"""Notifications as the Backport guide shapes them: a history Bundle that begins with the status."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from engine.message import Resource
from engine.store import SubscriptionRow
from engine.subscriptions.asked import Content
from engine.subscriptions.topics import IG

STATUS_PROFILE = f"{IG}/StructureDefinition/backport-subscription-status-r4"
NOTIFICATION_PROFILE = f"{IG}/StructureDefinition/backport-subscription-notification-r4"
ERRORS = "http://terminology.hl7.org/CodeSystem/subscription-error"

Kind = Literal["handshake", "heartbeat", "event-notification", "query-status", "query-event"]
NO_ANSWER, BAD_ANSWER = "no-response", "error-response"


@dataclass(frozen=True, slots=True)
class Happened:
    """Hold one event as a subscriber is told it; without a resource it may not see any.

    `first` tells whether this is the first version of the resource.
    """

    number: int
    at: str
    resource: Resource | None = None
    first: bool = False

    @property
    def local(self) -> str:
        """Return the reference of the resource, as the subscriber calls it."""
        assert self.resource is not None
        return f"{self.resource['resourceType']}/{self.resource['id']}"


def status(
    row: SubscriptionRow,
    base: str,
    kind: Kind,
    *,
    since: int,
    content: Content,
    happened: Sequence[Happened] = (),
) -> Resource:
    """Return the status of a subscription as Parameters (backport-subscription-status-r4)."""
    parameters: list[dict[str, Any]] = [
        {
            "name": "subscription",
            "valueReference": {"reference": f"{base}/Subscription/{row.id}"},
        }
    ]
    if content != "empty":
        parameters.append({"name": "topic", "valueCanonical": row.topic})
    parameters += [
        {"name": "status", "valueCode": row.state},
        {"name": "type", "valueCode": kind},
        {"name": "events-since-subscription-start", "valueString": str(since)},
    ]
    parameters += [_event(one, base, content) for one in happened]
    if row.state == "error":
        coding = {"system": ERRORS, "code": row.reason or NO_ANSWER}
        parameters.append({"name": "error", "valueCodeableConcept": {"coding": [coding]}})
    return {
        "resourceType": "Parameters",
        "id": _id(row, kind, since),
        "meta": {"profile": [STATUS_PROFILE]},
        "parameter": parameters,
    }


def notification(
    row: SubscriptionRow,
    base: str,
    kind: Kind,
    *,
    at: str,
    since: int,
    content: Content,
    happened: Sequence[Happened] = (),
) -> Resource:
    """Return a notification Bundle (backport-subscription-notification-r4).

    With `full-resource` the resources follow the status; what a subscriber may not see is told by
    its number and instant only.
    """
    first = status(row, base, kind, since=since, content=content, happened=happened)
    entries: list[Resource] = [
        {
            "fullUrl": f"urn:uuid:{first['id']}",
            "resource": first,
            "request": {"method": "GET", "url": f"{base}/Subscription/{row.id}/$status"},
            "response": {"status": "200"},
        }
    ]
    if content == "full-resource":
        entries += _resources(happened, base)
    return {
        "resourceType": "Bundle",
        "meta": {"profile": [NOTIFICATION_PROFILE]},
        "type": "history",
        "timestamp": at,
        "entry": entries,
    }


def _event(one: Happened, base: str, content: Content) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [
        {"name": "event-number", "valueString": str(one.number)},
        {"name": "timestamp", "valueInstant": one.at},
    ]
    if content != "empty" and one.resource is not None:
        parts.append({"name": "focus", "valueReference": {"reference": f"{base}/{one.local}"}})
    return {"name": "notification-event", "part": parts}


def _resources(happened: Iterable[Happened], base: str) -> Iterable[Resource]:
    told: set[str] = set()
    for one in happened:
        if one.resource is None or one.local in told:
            continue
        told.add(one.local)
        method, url = ("POST", one.local.partition("/")[0]) if one.first else ("PUT", one.local)
        yield {
            "fullUrl": f"{base}/{one.local}",
            "resource": one.resource,
            "request": {"method": method, "url": url},
            "response": {"status": "201" if one.first else "200"},
        }


def _id(row: SubscriptionRow, kind: Kind, since: int) -> str:
    """Return the id of a status: the same whenever the same is told again."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{row.id}/{row.version}/{kind}/{since}"))
