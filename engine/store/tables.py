"""The tables of the durable record; the migrations build exactly these.

Instants are text of fixed width in UTC (`engine.clock`), so they sort; ids are UUIDs of version 7
as text; bodies are bytes exactly as they are sent; other structures are JSON text. The order of
columns is the order of the fields in `engine.store.rows`.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# PostgreSQL would compare text by the rules of a language; ids and instants go by their bytes.
TEXT = Text().with_variant(Text(collation="C"), "postgresql")
NUMBER = BigInteger().with_variant(Integer, "sqlite")


STOPPED = "state IN ('held', 'dead', 'skipped', 'discarded', 'superseded')"
"""What a delivery in one of the states meets in which it stands still."""


def _partial(name: str, *columns: str, where: str) -> Index:
    return Index(name, *columns, sqlite_where=text(where), postgresql_where=text(where))


message = Table(
    "message",
    METADATA,
    Column("number", NUMBER, Identity(), primary_key=True),
    Column("id", TEXT, nullable=False, unique=True),
    Column("system", TEXT, nullable=False),
    Column("key", TEXT),
    Column("digest", TEXT, nullable=False),
    Column("received", TEXT, nullable=False, index=True),
    Column("interaction", TEXT, nullable=False),
    Column("correlation", TEXT),
    Column("state", TEXT, nullable=False),
    Column("status", Integer),
    Column("response", LargeBinary),
    Column("body", LargeBinary),
    UniqueConstraint("system", "key"),
    Index("ix_message_system_digest_received", "system", "digest", "received"),
    Index("ix_message_state_received", "state", "received"),
    Index("ix_message_system_received", "system", "received"),
    _partial("ix_message_correlation", "correlation", where="correlation IS NOT NULL"),
)
"""The inbox: each submission as it arrived, and the answer it got."""

touch = Table(
    "touch",
    METADATA,
    Column("system", TEXT, nullable=False),
    Column("resource", TEXT, nullable=False),
    Column("number", NUMBER, ForeignKey("message.number"), nullable=False),
    PrimaryKeyConstraint("system", "resource", "number"),
    Index("ix_touch_number", "number"),
)
"""Which resources (as their system calls them) each message speaks of."""

unit = Table(
    "unit",
    METADATA,
    Column("id", TEXT, primary_key=True),
    Column("message_id", TEXT, ForeignKey("message.id"), nullable=False),
    Column("entry", Integer, nullable=False),
    Column("type", TEXT, nullable=False),
    Column("state", TEXT, nullable=False),
    Column("member", TEXT),
    Column("resource", TEXT),
    Column("version", Integer),
    Column("reason", TEXT),
    Column("waiting_on", TEXT, nullable=False),
    Column("notes", TEXT, nullable=False),
    Column("mapping", TEXT),
    Column("mapping_version", TEXT),
    Column("mapping_hash", TEXT),
    Column("changed", TEXT, nullable=False),
    Index("ix_unit_message_id_entry", "message_id", "entry"),
    _partial("ix_unit_member", "member", "id", where="member IS NOT NULL"),
    _partial("ix_unit_resource", "resource", "id", where="resource IS NOT NULL"),
    _partial("ix_unit_version", "resource", "version", where="version IS NOT NULL"),
    _partial("ix_unit_held", "reason", "id", where="state = 'held'"),
    _partial("ix_unit_held_id", "id", where="state = 'held'"),
)
"""One resource of a message, its state and the mapping that read it."""

waiting = Table(
    "waiting",
    METADATA,
    Column("key", TEXT, nullable=False),
    Column("unit_id", TEXT, ForeignKey("unit.id"), nullable=False),
    PrimaryKeyConstraint("key", "unit_id"),
    Index("ix_waiting_unit_id", "unit_id"),
)
"""Which crosswalk keys a held unit waits for."""

resource = Table(
    "resource",
    METADATA,
    Column("type", TEXT, nullable=False),
    Column("id", TEXT, nullable=False),
    Column("version", Integer, nullable=False),
    Column("at", TEXT, nullable=False),
    Column("member", TEXT),
    Column("system", TEXT, nullable=False),
    Column("deleted", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
    PrimaryKeyConstraint("type", "id"),
    _partial("ix_resource_member", "member", "type", where="member IS NOT NULL"),
)
"""The current canonical version of each resource; Consents are the registry."""

history = Table(
    "history",
    METADATA,
    Column("type", TEXT, nullable=False),
    Column("id", TEXT, nullable=False),
    Column("version", Integer, nullable=False),
    Column("at", TEXT, nullable=False),
    Column("member", TEXT),
    Column("system", TEXT, nullable=False),
    Column("deleted", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
    PrimaryKeyConstraint("type", "id", "version"),
)
"""Every canonical version, so that a decision can show what it rested on."""

entity = Table(
    "entity",
    METADATA,
    Column("id", TEXT, primary_key=True),
    Column("type", TEXT, nullable=False),
    Column("created", TEXT, nullable=False),
    Column("merged_into", TEXT, ForeignKey("entity.id")),
    Column("merged_at", TEXT),
    _partial("ix_entity_merged_into", "merged_into", where="merged_into IS NOT NULL"),
)
"""Each member, person, organization or other resource as the engine knows it."""

link = Table(
    "link",
    METADATA,
    Column("system", TEXT, nullable=False),
    Column("kind", TEXT, nullable=False),
    Column("value", TEXT, nullable=False),
    Column("entity_id", TEXT, ForeignKey("entity.id"), nullable=False),
    Column("at", TEXT, nullable=False),
    Column("source", TEXT, nullable=False),
    Column("token", TEXT, nullable=False),
    PrimaryKeyConstraint("system", "kind", "value"),
    Index("ix_link_entity_id", "entity_id"),
    Index("ix_link_token", "token"),
)
"""The crosswalk: what points at an entity, and who said so."""

decision = Table(
    "decision",
    METADATA,
    Column("id", TEXT, primary_key=True),
    Column("unit_id", TEXT, ForeignKey("unit.id"), nullable=False),
    Column("delivery_id", TEXT),
    Column("at", TEXT, nullable=False),
    Column("decision", TEXT, nullable=False),
    Column("code", TEXT),
    Column("body", TEXT, nullable=False),
    Index("ix_decision_unit_id", "unit_id", "id"),
    _partial("ix_decision_delivery_id", "delivery_id", "id", where="delivery_id IS NOT NULL"),
)
"""Every consent decision, yes or no, with what it rested on."""

lane = Table(
    "lane",
    METADATA,
    Column("destination", TEXT, nullable=False),
    Column("member", TEXT, nullable=False),
    Column("last", NUMBER, nullable=False),
    Column("open", NUMBER, nullable=False),
    PrimaryKeyConstraint("destination", "member"),
)
"""One line of deliveries: the last sequence given out and how many stand in it now."""

delivery = Table(
    "delivery",
    METADATA,
    Column("id", TEXT, primary_key=True),
    Column("message_id", TEXT, ForeignKey("message.id"), nullable=False),
    Column("unit_id", TEXT, ForeignKey("unit.id"), nullable=False),
    Column("destination", TEXT, nullable=False),
    Column("member", TEXT, nullable=False),
    Column("sequence", NUMBER, nullable=False),
    Column("type", TEXT, nullable=False),
    Column("state", TEXT, nullable=False),
    Column("due", TEXT, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("idempotency_key", TEXT, nullable=False),
    Column("reason", TEXT),
    Column("worker", TEXT),
    Column("lease_until", TEXT),
    Column("created", TEXT, nullable=False),
    Column("changed", TEXT, nullable=False),
    Column("envelope", TEXT, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("queued", Integer, nullable=False),
    Column("ready", TEXT),
    Column("blocking", Integer, nullable=False),
    UniqueConstraint("destination", "member", "sequence"),
    Index("ix_delivery_message_id", "message_id"),
    Index("ix_delivery_unit_id", "unit_id"),
    # Only the first of each line that may be claimed has an instant here.
    _partial("ix_delivery_ready", "destination", "ready", "id", where="ready IS NOT NULL"),
    _partial("ix_delivery_leased", "destination", "lease_until", where="lease_until IS NOT NULL"),
    _partial("ix_delivery_queued", "destination", "member", "sequence", where="queued = 1"),
    _partial("ix_delivery_blocking", "destination", where="blocking = 1"),
    _partial("ix_delivery_held", "member", where="state = 'held'"),
    _partial("ix_delivery_stopped", "state", "id", where=STOPPED),
    _partial("ix_delivery_open", "destination", "state", "created", where="state <> 'delivered'"),
)
"""The outbox: one resource on its way to one destination."""

attempt = Table(
    "attempt",
    METADATA,
    Column("delivery_id", TEXT, ForeignKey("delivery.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("started", TEXT, nullable=False),
    Column("ended", TEXT, nullable=False),
    Column("status", Integer),
    Column("outcome", TEXT, nullable=False),
    Column("note", TEXT),
    PrimaryKeyConstraint("delivery_id", "number"),
)
"""Each try to send a delivery, and how it ended."""

audit = Table(
    "audit",
    METADATA,
    Column("sequence", NUMBER, primary_key=True, autoincrement=False),
    Column("at", TEXT, nullable=False),
    Column("kind", TEXT, nullable=False),
    Column("actor", TEXT, nullable=False),
    Column("message_id", TEXT),
    Column("unit_id", TEXT),
    Column("delivery_id", TEXT),
    Column("body", TEXT, nullable=False),
    Column("hash", TEXT, nullable=False),
    _partial("ix_audit_message_id", "message_id", "sequence", where="message_id IS NOT NULL"),
)
"""The ledger's chain: append-only, each record bound to the one before."""

chain = Table(
    "chain",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("first", NUMBER, nullable=False),
    Column("before", TEXT, nullable=False),
    Column("last", NUMBER, nullable=False),
    Column("hash", TEXT, nullable=False),
    Column("known", NUMBER, nullable=False, server_default=text("0")),
)
"""One row: where the kept chain starts (and the hash before it), where it ends, and how often
anything was written that a process may remember."""

timer = Table(
    "timer",
    METADATA,
    Column("key", TEXT, primary_key=True),
    Column("kind", TEXT, nullable=False),
    Column("due", TEXT, nullable=False),
    Column("state", TEXT, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("reason", TEXT),
    Column("body", TEXT, nullable=False),
    Column("created", TEXT, nullable=False),
    Column("changed", TEXT, nullable=False),
    _partial("ix_timer_due", "due", where="state = 'waiting'"),
)
"""What is to happen once at an instant: reminders, escalations, what follows a message."""

subscription = Table(
    "subscription",
    METADATA,
    Column("id", TEXT, primary_key=True),
    Column("system", TEXT, nullable=False),
    Column("state", TEXT, nullable=False),
    Column("topic", TEXT, nullable=False),
    Column("version", Integer, nullable=False),
    Column("created", TEXT, nullable=False),
    Column("changed", TEXT, nullable=False),
    Column("ends", TEXT),
    Column("since", NUMBER, nullable=False),
    Column("events", NUMBER, nullable=False),
    Column("reason", TEXT),
    Column("message_id", TEXT, ForeignKey("message.id"), nullable=False),
    Column("unit_id", TEXT, ForeignKey("unit.id"), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("headers", LargeBinary),
    Index("ix_subscription_system_id", "system", "id"),
    _partial("ix_subscription_live", "id", where="state IN ('requested', 'active', 'error')"),
)
"""The subscriptions of systems: what each asked for, where it stands, how many events it had."""

subscription_event = Table(
    "subscription_event",
    METADATA,
    Column("subscription_id", TEXT, ForeignKey("subscription.id"), nullable=False),
    Column("number", NUMBER, nullable=False),
    Column("at", TEXT, nullable=False),
    Column("resource", TEXT, nullable=False),
    Column("version", Integer, nullable=False),
    PrimaryKeyConstraint("subscription_id", "number"),
    UniqueConstraint("subscription_id", "resource", "version"),
)
"""The events of each subscription by number, without gaps: which version of what happened."""

reader = Table(
    "reader",
    METADATA,
    Column("name", TEXT, primary_key=True),
    Column("sequence", NUMBER, nullable=False),
)
"""How far the ledger was read by whoever follows it."""

watch = Table(
    "watch",
    METADATA,
    Column("system", TEXT, primary_key=True),
    Column("id", TEXT, nullable=False, unique=True),
    Column("state", TEXT, nullable=False),
    Column("remote", TEXT),
    Column("digest", TEXT, nullable=False),
    Column("heard", NUMBER, nullable=False),
    Column("told", NUMBER, nullable=False),
    Column("heard_at", TEXT, nullable=False),
    Column("due", TEXT, nullable=False),
    Column("behind", Integer, nullable=False),
    Column("reason", TEXT),
    Column("created", TEXT, nullable=False),
    Column("changed", TEXT, nullable=False),
)
"""Our own subscriptions at other systems; of the secret of each only the SHA-256 is here."""

news = Table(
    "news",
    METADATA,
    Column("watch_id", TEXT, nullable=False),
    Column("number", NUMBER, nullable=False),
    Column("at", TEXT, nullable=False),
    Column("resource", TEXT),
    PrimaryKeyConstraint("watch_id", "number"),
)
"""What other systems notified us of and nobody has looked at yet."""
