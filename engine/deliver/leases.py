"""Keep the leases of one worker: renewed while a send lasts, cut off where they cannot be.

A lease is short, so that what a dead worker had taken is soon free again; a send may last longer.
Its end is counted on the monotonic clock from before the claim, so it never ends too late here,
whatever happens to the wall clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from engine.clock import Clock
from engine.deliver.ports import Delivery

_RENEWED = 2 / 3
"""A lease with less than this part of its time left is renewed with the next turn."""


@dataclass(slots=True, eq=False)
class Lease:
    """Hold one delivery until the instant `until` of the monotonic clock.

    `send` is what sends it: what goes in one request is cut off together.
    """

    delivery: Delivery
    until: float
    send: asyncio.Task[None] | None = None


@dataclass(slots=True)
class Leases:
    """Hold what is under way; each lease lasts `seconds` from its claim or renewal.

    One alarm goes off when the first of them ends; where it was renewed meanwhile, or is no more,
    the alarm is set again for the next.
    """

    seconds: float
    clock: Clock
    _held: dict[str, Lease] = field(default_factory=dict)
    _alarm: asyncio.TimerHandle | None = None

    def begin(self, delivery: Delivery, since: float) -> Lease:
        """Keep the lease of a delivery that was claimed at the instant `since`."""
        lease = self._held[delivery.id] = Lease(delivery, since + self.seconds)
        return lease

    def guard(self, leases: Sequence[Lease], send: asyncio.Task[None] | None) -> None:
        """Cancel `send` when the first of its leases ends; renewing moves its end."""
        for lease in leases:
            lease.send = send
        if self._alarm is None:
            self._set_alarm()

    def _set_alarm(self) -> None:
        """Set the alarm for the lease that ends first: those that begin later end later."""
        guarded = (lease.until for lease in self._held.values() if lease.send is not None)
        first = min(guarded, default=None)
        call_later = asyncio.get_running_loop().call_later
        self._alarm = (
            None if first is None else call_later(max(0.0, self._until(first)), self._ring)
        )

    def _ring(self) -> None:
        for lease in list(self._held.values()):
            if self.ended(lease):
                self._cut(lease)
        self._set_alarm()

    def end(self, lease: Lease) -> None:
        """Keep it no more."""
        if self._held.get(lease.delivery.id) is lease:
            del self._held[lease.delivery.id]

    def waning(self, all: bool = False) -> list[Delivery]:
        """Return the deliveries whose lease should be renewed; cut off those it has ended for.

        `all` renews every lease: after the wall clock was set back none says when it really ends.
        """
        now = self.clock.monotonic()
        soon = now + self.seconds * _RENEWED
        found = []
        for lease in self._held.values():
            if lease.until <= now:
                self._cut(lease)
            elif all or lease.until < soon:
                found.append(lease.delivery)
        return found

    def renewed(self, delivery: Delivery, since: float, ours: bool) -> None:
        """Let a lease last from `since` on, or cut its send off where a successor has it."""
        lease = self._held.get(delivery.id)
        if lease is None or lease.delivery.fence != delivery.fence:
            return
        if not ours:
            self._cut(lease)
            return
        lease.until = since + self.seconds

    def ended(self, lease: Lease) -> bool:
        """Tell whether a lease has ended."""
        return lease.until <= self.clock.monotonic()

    def until_waning(self) -> float | None:
        """Return the seconds until the next lease should be renewed, None where there is none."""
        first = min((lease.until for lease in self._held.values()), default=None)
        return None if first is None else max(0.0, self._until(first) - self.seconds * _RENEWED)

    def _until(self, instant: float) -> float:
        return instant - self.clock.monotonic()

    def _cut(self, lease: Lease) -> None:
        lease.until = self.clock.monotonic()
        send, lease.send = lease.send, None
        if send is not None:
            send.cancel()
