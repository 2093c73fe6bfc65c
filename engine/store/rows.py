"""The records of the store as frozen values; the order of fields is the order of columns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import Struct

from engine.transform.crosswalk import Key


@dataclass(frozen=True, slots=True)
class MessageRow:
    """Hold one submission: what arrived, and the answer given (`status`, `response`).

    `number` counts messages of this store, `key` is the idempotency key or None, `digest` the
    SHA-256 of the body in hex; `body` is None once retention has removed it.
    """

    number: int
    id: str
    system: str
    key: str | None
    digest: str
    received: str
    interaction: str
    correlation: str | None
    state: str
    status: int | None
    response: bytes | None
    body: bytes | None


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Say that a submission repeats `message`.

    `by` is `key` or `digest`; `same_body` is False where the key returns with another body.
    """

    message: MessageRow
    by: str
    same_body: bool


class UnitRow(Struct, frozen=True):
    """Hold one resource of a message.

    `resource` is its canonical reference (`CareTeam/<entity>`), `version` the canonical version it
    became, `member` the canonical id of its member, `waiting_on` the crosswalk keys that would
    release it, `notes` its diagnostics as JSON data.
    """

    id: str
    message_id: str
    entry: int
    type: str
    state: str
    member: str | None = None
    resource: str | None = None
    version: int | None = None
    reason: str | None = None
    waiting_on: tuple[str, ...] = ()
    notes: tuple[dict[str, Any], ...] = ()
    mapping: str | None = None
    mapping_version: str | None = None
    mapping_hash: str | None = None
    changed: str = ""


class ResourceRow(Struct, frozen=True):
    """Hold one canonical version of a resource; `body` is its JSON exactly as stored."""

    type: str
    id: str
    version: int
    at: str
    member: str | None
    system: str
    deleted: bool
    body: bytes

    @property
    def reference(self) -> str:
        """Return the version-specific reference that a decision record cites."""
        return f"{self.type}/{self.id}/_history/{self.version}"


@dataclass(frozen=True, slots=True)
class LinkRow:
    """Hold one link of the crosswalk: `key` points at `entity`, as `source` said."""

    key: Key
    entity: str
    at: str
    source: str


@dataclass(frozen=True, slots=True)
class DecisionRow:
    """Hold one decision; `body` is the whole record as JSON data (CONSENT.md, "Answer")."""

    id: str
    unit_id: str
    delivery_id: str | None
    at: str
    decision: str
    code: str | None
    body: dict[str, Any]


class NewDelivery(Struct, frozen=True):
    """Ask for one delivery.

    `member` names the line it stands in: the canonical member id, or the resource's own reference
    where it belongs to no member. `envelope` is what the worker needs beside the body (method,
    path, route, purpose), as JSON data.
    """

    message_id: str
    unit_id: str
    destination: str
    member: str
    type: str
    body: bytes
    envelope: dict[str, Any] = msgspec.field(default_factory=dict)
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """Hold one resource on its way to one destination.

    `attempts` counts claims, `fence` is the token that every report on it must bring back.
    """

    id: str
    message_id: str
    unit_id: str
    destination: str
    member: str
    sequence: int
    type: str
    state: str
    due: str
    fence: int
    attempts: int
    idempotency_key: str
    reason: str | None
    worker: str | None
    lease_until: str | None
    created: str
    changed: str
    envelope: dict[str, Any]
    body: bytes


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """Hold one try to send; `outcome` is a code, `note` says more without payload values."""

    delivery_id: str
    number: int
    started: str
    ended: str
    status: int | None
    outcome: str
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Depth:
    """Say how much stands at one destination in one state, and since when the oldest."""

    destination: str
    state: str
    count: int
    oldest: str


@dataclass(frozen=True, slots=True)
class TimerRow:
    """Hold one timer; `state` is waiting, done, cancelled or failed (with a `reason`)."""

    key: str
    kind: str
    due: str
    state: str
    attempts: int
    reason: str | None
    body: dict[str, Any]
    created: str
    changed: str


@dataclass(frozen=True, slots=True)
class SubscriptionRow:
    """Hold a system's subscription: its state, its version and how many events it had.

    `since` is the place in the ledger behind which events count, `body` the resource without the
    secrets in `headers` (JSON: names and values), `reason` why it is in error or off. `message_id`
    and `unit_id` name the submission that its present version came with.
    """

    id: str
    system: str
    state: str
    topic: str
    version: int
    created: str
    changed: str
    ends: str | None
    since: int
    events: int
    reason: str | None
    message_id: str
    unit_id: str
    body: bytes
    headers: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class EventRow:
    """Hold one event of a subscription: which version of which resource (`Type/entity`)."""

    subscription_id: str
    number: int
    at: str
    resource: str
    version: int


@dataclass(frozen=True, slots=True)
class WatchRow:
    """Hold our own subscription at another system.

    `remote` is its id there, `digest` the SHA-256 of the secret that its notifications bear.
    Everything up to event `heard` was looked at, `told` is the highest that we know to exist.
    `due` is when it is to be looked after next, `behind` whether more than its news may be missed.
    """

    system: str
    id: str
    state: str
    remote: str | None
    digest: str
    heard: int
    told: int
    heard_at: str
    due: str
    behind: bool
    reason: str | None
    created: str
    changed: str


@dataclass(frozen=True, slots=True)
class NewsRow:
    """Hold one event that another system notified us of; `resource` is None where it said none."""

    watch_id: str
    number: int
    at: str
    resource: str | None
