"""Say what the worker is handed: the durable record, the judge, and the way to be woken."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from engine.ahead import Looking

T = TypeVar("T")


class Delivery(Protocol):
    """Show one claimed delivery; `fence` is the token that every report on it brings back."""

    @property
    def id(self) -> str: ...
    @property
    def message_id(self) -> str: ...
    @property
    def unit_id(self) -> str: ...
    @property
    def destination(self) -> str: ...
    @property
    def member(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def fence(self) -> int: ...
    @property
    def attempts(self) -> int: ...
    @property
    def idempotency_key(self) -> str: ...
    @property
    def reason(self) -> str | None: ...
    @property
    def lease_until(self) -> str | None: ...
    @property
    def envelope(self) -> Mapping[str, Any]: ...
    @property
    def body(self) -> bytes: ...


class Signal(Protocol):
    """Say that there may be work; `seen` counts such news."""

    @property
    def seen(self) -> int: ...

    async def arrived(self, seen: int, timeout: float) -> bool:
        """Wait for news after `seen`, for `timeout` seconds at most."""
        ...


class Store(Protocol):
    """Run work in transactions that are durable once the future resolves.

    The work gets the store's Transaction, may be run again, and changes nothing else; what it can
    work out `ahead` of its turn keeps nobody waiting.
    """

    @property
    def signal(self) -> Signal: ...

    def write(self, run: Callable[[Any], T], ahead: Looking | None = None) -> Future[T]: ...


@dataclass(frozen=True, slots=True)
class Ruling:
    """Hold a decision as it is recorded: `body` is `Decision.to_json()` (CONSENT.md, "Answer")."""

    decision: str
    code: str | None
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Permit:
    """Let a delivery leave, resting on `ruling`.

    `ruling` is None only for what no rule guards. `body` replaces the resource where obligations
    changed it since it was routed.
    """

    ruling: Ruling | None = None
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Withhold:
    """Keep a delivery back with a reason (`consent-withdrawn`), resting on `ruling`."""

    reason: str
    ruling: Ruling | None = None


Judge = Callable[[Any, Delivery], Permit | Withhold]
"""Decide about a claimed delivery, reading Consents in the transaction that it is given.

It runs in the same transaction that records its ruling, so it sees every revocation committed
before. What it raises never lets anything leave: the delivery is decided again later.
"""

Brief = Callable[[Any, Delivery], bool]
"""Tell whether judging a delivery is so short that it need not be done ahead of the turn."""


def nothing_is_brief(_transaction: Any, _delivery: Delivery) -> bool:
    """Have everything judged ahead of the turn."""
    return False


Ready = Callable[[Any, Sequence[Delivery]], None]
"""Read together, in the transaction that claims deliveries, what the judge asks about each."""


def nothing_to_read(_transaction: Any, _deliveries: Sequence[Delivery]) -> None:
    """Leave all that to the judge."""


Delivered = Callable[[Any, Delivery, str | None], None]
"""Be told, in the transaction that records it, that a delivery arrived, and its own reference.

The reference (`CareTeam/17`) is how the destination calls the resource, None where it did not say.
"""


Ruled = Callable[[Ruling], None]
"""Be told of each ruling that is recorded."""


def nobody_counts(_ruling: Ruling) -> None:
    """Do nothing about a ruling beyond recording it."""


def nothing_more(_transaction: Any, _delivery: Delivery, _own: str | None) -> None:
    """Do nothing about an arrival beyond recording it."""


GaveUp = Callable[[Any, Delivery, str], None]
"""Be told, in the transaction that records it, that a delivery is a dead letter, and its code."""


def nobody_minds(_transaction: Any, _delivery: Delivery, _reason: str) -> None:
    """Do nothing about a dead letter beyond recording it."""


class Cancel(Protocol):
    """Take back a call that has not happened yet."""

    def cancel(self) -> None: ...


Timer = Callable[[float, Callable[[], None]], Cancel]
"""Call back after so many seconds, on the worker's own loop."""
