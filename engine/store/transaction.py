"""One transaction on the store: a repository for each noun, all on one connection."""

from __future__ import annotations

from functools import cached_property

from engine.store.attempts import Attempts
from engine.store.audits import Audits
from engine.store.crosswalk import Crosswalk
from engine.store.decisions import Decisions
from engine.store.deliveries import Deliveries
from engine.store.messages import Messages
from engine.store.resources import Resources
from engine.store.session import Session
from engine.store.subscriptions import Subscriptions
from engine.store.timers import Timers
from engine.store.units import Units
from engine.store.upkeep import Upkeep
from engine.store.watches import Watches


class Transaction(Session):
    """Read and write the record; nothing is durable before the store says so.

    A function that gets one must change nothing else: the store may run it again.
    """

    @cached_property
    def messages(self) -> Messages:
        """The inbox."""
        return Messages(self)

    @cached_property
    def units(self) -> Units:
        """The resources of messages, and what holds them."""
        return Units(self)

    @cached_property
    def resources(self) -> Resources:
        """Canonical resources in all their versions; the consent registry."""
        return Resources(self)

    @cached_property
    def crosswalk(self) -> Crosswalk:
        """Which references and identifiers mean the same entity."""
        return Crosswalk(self, merged=self.deliveries.join)

    @cached_property
    def decisions(self) -> Decisions:
        """Consent decisions."""
        return Decisions(self)

    @cached_property
    def deliveries(self) -> Deliveries:
        """The outbox."""
        return Deliveries(self, self.audit)

    @cached_property
    def attempts(self) -> Attempts:
        """Tries to send."""
        return Attempts(self)

    @cached_property
    def timers(self) -> Timers:
        """What is to happen once at an instant."""
        return Timers(self)

    @cached_property
    def subscriptions(self) -> Subscriptions:
        """What systems subscribed to, and the events of each."""
        return Subscriptions(self)

    @cached_property
    def watches(self) -> Watches:
        """Our own subscriptions at other systems."""
        return Watches(self)

    @cached_property
    def upkeep(self) -> Upkeep:
        """What keeps the record in order."""
        return Upkeep(self)

    @cached_property
    def audit(self) -> Audits:
        """The hash-chained ledger."""
        return Audits(self)
