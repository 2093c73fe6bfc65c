"""At the moment of sending: the decision taken again, and what is learnt from an arrival."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

from engine.clock import Clock
from engine.config import Config
from engine.deliver.destination import Destination, Destinations, Interaction
from engine.deliver.ports import Delivery, Permit, Ruling, Withhold
from engine.deliver.retry import Poison, RetryPolicy
from engine.deliver.transport import HttpTransport, Transport
from engine.deliver.worker import Settings, Worker
from engine.fhir.json import dumps, loads
from engine.gather import gather_canonical, renamed
from engine.message import Draft, Resource, Unit
from engine.metrics import Metrics
from engine.project import Project
from engine.road.identify import member_of
from engine.road.judge import decision_for
from engine.road.route import draft_for
from engine.road.trip import Trip
from engine.rules.decision import Decision
from engine.store import Store, Transaction
from engine.transform.crosswalk import reference_key

WITHDRAWN = "consent-withdrawn"
"""Why a delivery is held whose decision at sending is no permit (CONSENT.md)."""


@dataclass
class Sending:
    """Answer the worker's two questions; `project` may be replaced whole while it runs."""

    project: Project
    metrics: Metrics = field(default_factory=Metrics)

    def judge(self, tx: Transaction, delivery: Delivery) -> Permit | Withhold:
        """Decide about a claimed delivery from the Consents as they stand in this transaction."""
        envelope = delivery.envelope
        row = tx.resources.version(delivery.type, envelope["entity"], envelope["version"])
        if row is None:
            return Withhold("record-missing")
        canonical: Resource = renamed(tx, loads(row.body))
        if not self.project.guarded(canonical):
            return Permit()
        facts = gather_canonical(tx, self.project, canonical, at=tx.now)
        trip = Trip(self.project, facts, envelope["source"])
        decision = decision_for(canonical, member_of(canonical), delivery.destination, trip)
        self.metrics.decided.labels("sending", decision.decision, decision.code or "").inc()
        record = decision.record(delivery.destination)
        ruling = Ruling(decision.decision, decision.code, record)
        if decision.decision != "permit":
            return Withhold(WITHDRAWN, ruling)
        return self._anew(delivery, canonical, decision, ruling, trip)

    def _anew(
        self,
        delivery: Delivery,
        canonical: Resource,
        decision: Decision,
        ruling: Ruling,
        trip: Trip,
    ) -> Permit | Withhold:
        """Write the body again: obligations, labels or references may not be what they were."""
        unit = Unit(
            0,
            delivery.type,
            delivery.type,
            canonical,
            entity=canonical["id"],
            member=member_of(canonical),
            canonical=canonical,
        )
        made = draft_for(unit, delivery.destination, decision, trip)
        if isinstance(made, Draft):
            return Permit(ruling, dumps(made.resource))
        return Withhold(WITHDRAWN, ruling)

    def delivered(self, tx: Transaction, delivery: Delivery, own: str | None) -> None:
        """Remember under which id the destination keeps the resource."""
        self.metrics.delivered.labels(delivery.destination).inc()
        if own is None or own == delivery.envelope["reference"]:
            return
        key = reference_key(delivery.destination, own)
        tx.crosswalk.link({key: delivery.envelope["entity"]}, source=delivery.destination)


def destinations(config: Config) -> Destinations:
    """Return every system as the worker knows it."""
    retry = config.retry
    policy = RetryPolicy(
        attempts=retry.attempts,
        first=retry.first,
        factor=retry.factor,
        cap=retry.cap,
        jitter=retry.jitter,
        patience=retry.patience,
        poison=cast("Poison", retry.poison),
    )
    return {
        name: Destination(
            name,
            system.base_url,
            cast("Interaction", system.interaction),
            system.bearer,
            system.concurrency,
            system.timeout,
            system.conditional,
            policy,
        )
        for name, system in config.systems.items()
    }


def make_worker(
    sending: Sending,
    store: Store,
    clock: Clock,
    *,
    transport: Transport | None = None,
    settings: Settings | None = None,
) -> Worker:
    """Return a worker that delivers what the project's routes have put into the outbox."""
    return Worker(
        store,
        destinations(sending.project.config),
        sending.judge,
        transport or HttpTransport(),
        clock,
        delivered=sending.delivered,
        settings=settings,
    )
