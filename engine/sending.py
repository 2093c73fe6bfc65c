"""At the moment of sending: the decision taken again, and what is learnt from an arrival."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

from engine.clock import Clock
from engine.config import Config
from engine.coordination import holding, outreach_sending
from engine.coordination.findings import HELD
from engine.coordination.outreach import PREFIX, may_be_planned, media_of
from engine.coordination.outreach_sending import SENDER_GONE
from engine.coordination.outreach_tasks import Assigner
from engine.deliver.destination import Destination, Destinations, Interaction
from engine.deliver.ports import Delivery, Permit, Ruling, Withhold
from engine.deliver.retry import Poison, RetryPolicy
from engine.deliver.transport import HttpTransport, Transport
from engine.deliver.worker import Settings, Worker
from engine.fhir.json import dumps, reread
from engine.gather import gather_canonical, renamed
from engine.grounds import may_stand, ready, reaffirmed
from engine.message import Resource, Unit
from engine.metrics import Metrics
from engine.outreach.transport import MediaTransport
from engine.project import Project
from engine.replacing import as_written
from engine.road.identify import member_of
from engine.road.judge import decision_for
from engine.road.leave import drafts_for
from engine.road.sibling_drafts import parting_draft
from engine.road.sibling_names import alias_key
from engine.road.trip import Trip
from engine.rules.decision import Decision
from engine.store import Store, Transaction
from engine.subscriptions import hooks, telling
from engine.transform.crosswalk import reference_key
from engine.wholes import with_named_wholes, with_version_before

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
        if "outreach" in envelope:
            return outreach_sending.judge(tx, self.project, delivery)
        if "subscription" in envelope:
            return telling.judge(tx, self.project, delivery)
        if holding.on_hold(tx, self.project, delivery):
            return Withhold(HELD)
        if (standing := reaffirmed(tx, self.project, delivery)) is not None:
            return standing
        row = tx.resources.version(*_version(delivery))
        if row is None:
            return Withhold("record-missing")
        if not self.project.may_guard(delivery.type, row.body):
            return Permit()
        canonical: Resource = renamed(tx, reread(row.body))
        if not self.project.guarded(canonical):
            return Permit()
        if envelope["source"] not in self.project.config.systems:
            return Withhold(SENDER_GONE)
        facts = gather_canonical(tx, self.project, canonical, at=tx.now)
        written = as_written(self.project, envelope, delivery.type)
        if envelope.get("sibling"):
            version = envelope["version"]
            facts = with_version_before(tx, written, canonical, version, facts)
        else:
            facts = with_named_wholes(tx, written, canonical, facts)
        trip = Trip(written, facts, envelope["source"])
        if envelope.get("parting"):
            return _parting(delivery, canonical, trip)
        decision = decision_for(canonical, member_of(canonical), delivery.destination, trip)
        record = decision.record(delivery.destination)
        ruling = Ruling(decision.decision, decision.code, record)
        if decision.decision != "permit":
            return Withhold(WITHDRAWN, ruling)
        return self._anew(delivery, canonical, decision, ruling, trip)

    def brief(self, tx: Transaction, delivery: Delivery) -> bool:
        """Tell whether the judgement is probably but a few reads: nothing to judge, or once more.

        It is not where a review comes first: that is looked at ahead of the turn.
        """
        short = self._unguarded(delivery) or may_stand(tx, self.project, delivery)
        return short and not holding.awaits_review(tx, self.project, delivery)

    def _unguarded(self, delivery: Delivery) -> bool:
        """Tell whether what is delivered is of a type that no rule guards."""
        special = delivery.envelope.keys() & {"outreach", "subscription"}
        return not special and not self.project.may_guard(delivery.type, b"")

    def ready(self, tx: Transaction, deliveries: Sequence[Delivery]) -> None:
        """Read together what is asked of each delivery that is claimed, or ahead of the claim."""
        holding.ready(tx, self.project, deliveries)
        if not tx.looks_ahead:
            ready(tx, deliveries)
            tx.resources.ready_versions(map(_version, filter(self._unguarded, deliveries)))

    def ruled(self, ruling: Ruling) -> None:
        """Count a decision that is recorded."""
        self.metrics.decided.labels("sending", ruling.decision, ruling.code or "").inc()

    def _anew(
        self,
        delivery: Delivery,
        canonical: Resource,
        decision: Decision,
        ruling: Ruling,
        trip: Trip,
    ) -> Permit | Withhold:
        """Write the body again: obligations, labels or references may not be what they were."""
        found = drafts_for(_unit(delivery, canonical), delivery.destination, decision, trip)
        made = found if isinstance(found, list) else []
        if delivery.envelope.get("sibling"):
            made = [one for one in made if one.link == delivery.envelope["reference"]]
        if made:
            return Permit(ruling, dumps(made[0].resource))
        return Withhold(WITHDRAWN, ruling)

    def delivered(self, tx: Transaction, delivery: Delivery, own: str | None) -> None:
        """Remember under which id the destination keeps the resource."""
        self.metrics.delivered.labels(delivery.destination).inc()
        self._tell_outreach(tx, delivery)
        if "subscription" in delivery.envelope:
            telling.delivered(tx, delivery)
        if delivery.envelope.keys() & {"outreach", "subscription"}:
            return
        if own is None or own == delivery.envelope["reference"]:
            return
        keys = [reference_key(delivery.destination, own)]
        if delivery.envelope.get("sibling"):
            sent = str(delivery.envelope["reference"]).partition("/")[2]
            theirs = own.partition("/")[2]
            keys.append(alias_key(delivery.destination, delivery.type, sent, theirs))
        links = dict.fromkeys(keys, delivery.envelope["entity"])
        tx.crosswalk.link(links, source=delivery.destination)

    def _tell_outreach(self, tx: Transaction, delivery: Delivery, died: str | None = None) -> None:
        """Keep what is known of a Communication true after a delivery of it ended."""
        if not may_be_planned(self.project, delivery):
            return
        row = tx.deliveries.get(delivery.id)
        if row is not None and died is None:
            outreach_sending.delivered(tx, row)
        elif row is not None and died is not None:
            outreach_sending.gave_up(tx, row, died)

    def gave_up(self, tx: Transaction, delivery: Delivery, reason: str) -> None:
        """Let outreach go another way where this one failed for good; tell a subscription."""
        self._tell_outreach(tx, delivery, reason)
        if "subscription" in delivery.envelope:
            telling.gave_up(tx, delivery)


def _version(delivery: Delivery) -> tuple[str, str, int]:
    """Name the version of a resource that a delivery carries."""
    return delivery.type, delivery.envelope["entity"], delivery.envelope["version"]


def _unit(delivery: Delivery, canonical: Resource) -> Unit:
    return Unit(
        0,
        delivery.type,
        delivery.type,
        canonical,
        entity=canonical["id"],
        member=member_of(canonical),
        canonical=canonical,
    )


def _parting(delivery: Delivery, canonical: Resource, trip: Trip) -> Permit | Withhold:
    """Decide about a sibling that left its whole, and write it again."""
    unit, link = _unit(delivery, canonical), str(delivery.envelope["reference"])
    decision, made = parting_draft(unit, delivery.destination, link, trip)
    if decision is None:
        return Withhold("record-missing")
    record = decision.record(delivery.destination)
    ruling = Ruling(decision.decision, decision.code, record)
    if made is None or not decision.permitted:
        return Withhold(WITHDRAWN, ruling)
    return Permit(ruling, dumps(made.resource))


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
    systems = {
        name: Destination(
            name,
            system.base_url,
            cast("Interaction", system.interaction),
            system.bearer,
            system.concurrency,
            system.timeout,
            system.conditional,
            policy,
            system.batch,
        )
        for name, system in config.systems.items()
    }
    others = (*_media(config, replace(policy, poison="skip")), *hooks.destinations(config, policy))
    return systems | {one.name: one for one in others}


_BY_PEOPLE_TIMEOUT = 60.0


def _media(config: Config, policy: RetryPolicy) -> Iterator[Destination]:
    """Yield the media; what fails there stops nothing behind it, since another medium follows."""
    media = config.coordination.media if config.coordination is not None else None
    if media is None:
        return
    for name in sorted(media.offered() - {"fhir"}):
        settings = getattr(media, name)
        yield Destination(
            f"{PREFIX}{name}",
            getattr(settings, "gateway", None) or "",
            "medium",
            concurrency=getattr(settings, "concurrency", 4),
            timeout=getattr(settings, "timeout", _BY_PEOPLE_TIMEOUT),
            retry=policy,
        )


def make_worker(
    sending: Sending,
    store: Store,
    clock: Clock,
    *,
    transport: Transport | None = None,
    settings: Settings | None = None,
) -> Worker:
    """Return a worker that delivers what the project's routes have put into the outbox."""
    project = sending.project
    media = media_of(project)
    transport = transport or HttpTransport()
    if any(system.hooks for system in project.config.systems.values()):
        transport = hooks.HookTransport(transport)
    if media is not None:
        assign = Assigner(store, lambda: sending.project)
        transport = MediaTransport(transport, media, project.config.root, assign)
    return Worker(
        store,
        destinations(project.config),
        sending.judge,
        transport,
        clock,
        delivered=sending.delivered,
        gave_up=sending.gave_up,
        ruled=sending.ruled,
        brief=sending.brief,
        ready=sending.ready,
        settings=settings,
    )
