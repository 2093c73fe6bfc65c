"""Create the tables of the first release."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("sequence", NUMBER, autoincrement=False, nullable=False),
        sa.Column("at", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("actor", TEXT, nullable=False),
        sa.Column("message_id", TEXT, nullable=True),
        sa.Column("unit_id", TEXT, nullable=True),
        sa.Column("delivery_id", TEXT, nullable=True),
        sa.Column("body", TEXT, nullable=False),
        sa.Column("hash", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_audit")),
    )
    op.create_index(
        "ix_audit_message_id",
        "audit",
        ["message_id", "sequence"],
        unique=False,
        sqlite_where=sa.text("message_id IS NOT NULL"),
        postgresql_where=sa.text("message_id IS NOT NULL"),
    )
    op.create_table(
        "chain",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("first", NUMBER, nullable=False),
        sa.Column("before", TEXT, nullable=False),
        sa.Column("last", NUMBER, nullable=False),
        sa.Column("hash", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_chain")),
    )
    op.create_table(
        "entity",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("type", TEXT, nullable=False),
        sa.Column("created", TEXT, nullable=False),
        sa.Column("merged_into", TEXT, nullable=True),
        sa.Column("merged_at", TEXT, nullable=True),
        sa.ForeignKeyConstraint(["merged_into"], ["entity.id"], name=op.f("fk_entity_merged_into")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_entity")),
    )
    op.create_index(
        "ix_entity_merged_into",
        "entity",
        ["merged_into"],
        unique=False,
        sqlite_where=sa.text("merged_into IS NOT NULL"),
        postgresql_where=sa.text("merged_into IS NOT NULL"),
    )
    op.create_table(
        "history",
        sa.Column("type", TEXT, nullable=False),
        sa.Column("id", TEXT, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("at", TEXT, nullable=False),
        sa.Column("member", TEXT, nullable=True),
        sa.Column("system", TEXT, nullable=False),
        sa.Column("deleted", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("type", "id", "version", name=op.f("pk_history")),
    )
    op.create_table(
        "lane",
        sa.Column("destination", TEXT, nullable=False),
        sa.Column("member", TEXT, nullable=False),
        sa.Column("last", NUMBER, nullable=False),
        sa.Column("open", NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("destination", "member", name=op.f("pk_lane")),
    )
    op.create_table(
        "message",
        sa.Column("number", NUMBER, sa.Identity(always=False), nullable=False),
        sa.Column("id", TEXT, nullable=False),
        sa.Column("system", TEXT, nullable=False),
        sa.Column("key", TEXT, nullable=True),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("received", TEXT, nullable=False),
        sa.Column("interaction", TEXT, nullable=False),
        sa.Column("correlation", TEXT, nullable=True),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("response", sa.LargeBinary(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_message")),
        sa.UniqueConstraint("id", name=op.f("uq_message_id")),
        sa.UniqueConstraint("system", "key", name=op.f("uq_message_system_key")),
    )
    op.create_index(
        "ix_message_correlation",
        "message",
        ["correlation"],
        unique=False,
        sqlite_where=sa.text("correlation IS NOT NULL"),
        postgresql_where=sa.text("correlation IS NOT NULL"),
    )
    op.create_index(op.f("ix_message_received"), "message", ["received"], unique=False)
    op.create_index("ix_message_state_received", "message", ["state", "received"], unique=False)
    op.create_index(
        "ix_message_system_digest_received",
        "message",
        ["system", "digest", "received"],
        unique=False,
    )
    op.create_table(
        "resource",
        sa.Column("type", TEXT, nullable=False),
        sa.Column("id", TEXT, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("at", TEXT, nullable=False),
        sa.Column("member", TEXT, nullable=True),
        sa.Column("system", TEXT, nullable=False),
        sa.Column("deleted", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("type", "id", name=op.f("pk_resource")),
    )
    op.create_index(
        "ix_resource_member",
        "resource",
        ["member", "type"],
        unique=False,
        sqlite_where=sa.text("member IS NOT NULL"),
        postgresql_where=sa.text("member IS NOT NULL"),
    )
    op.create_table(
        "link",
        sa.Column("system", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("value", TEXT, nullable=False),
        sa.Column("entity_id", TEXT, nullable=False),
        sa.Column("at", TEXT, nullable=False),
        sa.Column("source", TEXT, nullable=False),
        sa.Column("token", TEXT, nullable=False),
        sa.ForeignKeyConstraint(["entity_id"], ["entity.id"], name=op.f("fk_link_entity_id")),
        sa.PrimaryKeyConstraint("system", "kind", "value", name=op.f("pk_link")),
    )
    op.create_index("ix_link_entity_id", "link", ["entity_id"], unique=False)
    op.create_index("ix_link_token", "link", ["token"], unique=False)
    op.create_table(
        "touch",
        sa.Column("system", TEXT, nullable=False),
        sa.Column("resource", TEXT, nullable=False),
        sa.Column("number", NUMBER, nullable=False),
        sa.ForeignKeyConstraint(["number"], ["message.number"], name=op.f("fk_touch_number")),
        sa.PrimaryKeyConstraint("system", "resource", "number", name=op.f("pk_touch")),
    )
    op.create_index("ix_touch_number", "touch", ["number"], unique=False)
    op.create_table(
        "unit",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("message_id", TEXT, nullable=False),
        sa.Column("entry", sa.Integer(), nullable=False),
        sa.Column("type", TEXT, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("member", TEXT, nullable=True),
        sa.Column("resource", TEXT, nullable=True),
        sa.Column("version", sa.Integer(), nullable=True),
        sa.Column("reason", TEXT, nullable=True),
        sa.Column("waiting_on", TEXT, nullable=False),
        sa.Column("notes", TEXT, nullable=False),
        sa.Column("mapping", TEXT, nullable=True),
        sa.Column("mapping_version", TEXT, nullable=True),
        sa.Column("mapping_hash", TEXT, nullable=True),
        sa.Column("changed", TEXT, nullable=False),
        sa.ForeignKeyConstraint(["message_id"], ["message.id"], name=op.f("fk_unit_message_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_unit")),
    )
    op.create_index(
        "ix_unit_held",
        "unit",
        ["reason", "id"],
        unique=False,
        sqlite_where=sa.text("state = 'held'"),
        postgresql_where=sa.text("state = 'held'"),
    )
    op.create_index(
        "ix_unit_member",
        "unit",
        ["member", "id"],
        unique=False,
        sqlite_where=sa.text("member IS NOT NULL"),
        postgresql_where=sa.text("member IS NOT NULL"),
    )
    op.create_index("ix_unit_message_id_entry", "unit", ["message_id", "entry"], unique=False)
    op.create_index(
        "ix_unit_resource",
        "unit",
        ["resource", "id"],
        unique=False,
        sqlite_where=sa.text("resource IS NOT NULL"),
        postgresql_where=sa.text("resource IS NOT NULL"),
    )
    op.create_table(
        "decision",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("unit_id", TEXT, nullable=False),
        sa.Column("delivery_id", TEXT, nullable=True),
        sa.Column("at", TEXT, nullable=False),
        sa.Column("decision", TEXT, nullable=False),
        sa.Column("code", TEXT, nullable=True),
        sa.Column("body", TEXT, nullable=False),
        sa.ForeignKeyConstraint(["unit_id"], ["unit.id"], name=op.f("fk_decision_unit_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_decision")),
    )
    op.create_index(
        "ix_decision_delivery_id",
        "decision",
        ["delivery_id", "id"],
        unique=False,
        sqlite_where=sa.text("delivery_id IS NOT NULL"),
        postgresql_where=sa.text("delivery_id IS NOT NULL"),
    )
    op.create_index("ix_decision_unit_id", "decision", ["unit_id", "id"], unique=False)
    op.create_table(
        "delivery",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("message_id", TEXT, nullable=False),
        sa.Column("unit_id", TEXT, nullable=False),
        sa.Column("destination", TEXT, nullable=False),
        sa.Column("member", TEXT, nullable=False),
        sa.Column("sequence", NUMBER, nullable=False),
        sa.Column("type", TEXT, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("due", TEXT, nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("idempotency_key", TEXT, nullable=False),
        sa.Column("reason", TEXT, nullable=True),
        sa.Column("worker", TEXT, nullable=True),
        sa.Column("lease_until", TEXT, nullable=True),
        sa.Column("created", TEXT, nullable=False),
        sa.Column("changed", TEXT, nullable=False),
        sa.Column("envelope", TEXT, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("queued", sa.Integer(), nullable=False),
        sa.Column("ready", TEXT, nullable=True),
        sa.Column("blocking", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["message_id"], ["message.id"], name=op.f("fk_delivery_message_id")
        ),
        sa.ForeignKeyConstraint(["unit_id"], ["unit.id"], name=op.f("fk_delivery_unit_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_delivery")),
        sa.UniqueConstraint(
            "destination",
            "member",
            "sequence",
            name=op.f("uq_delivery_destination_member_sequence"),
        ),
    )
    op.create_index(
        "ix_delivery_blocking",
        "delivery",
        ["destination"],
        unique=False,
        sqlite_where=sa.text("blocking = 1"),
        postgresql_where=sa.text("blocking = 1"),
    )
    op.create_index(
        "ix_delivery_leased",
        "delivery",
        ["destination", "lease_until"],
        unique=False,
        sqlite_where=sa.text("lease_until IS NOT NULL"),
        postgresql_where=sa.text("lease_until IS NOT NULL"),
    )
    op.create_index("ix_delivery_message_id", "delivery", ["message_id"], unique=False)
    op.create_index(
        "ix_delivery_open",
        "delivery",
        ["destination", "state", "created"],
        unique=False,
        sqlite_where=sa.text("state <> 'delivered'"),
        postgresql_where=sa.text("state <> 'delivered'"),
    )
    op.create_index(
        "ix_delivery_queued",
        "delivery",
        ["destination", "member", "sequence"],
        unique=False,
        sqlite_where=sa.text("queued = 1"),
        postgresql_where=sa.text("queued = 1"),
    )
    op.create_index(
        "ix_delivery_ready",
        "delivery",
        ["destination", "ready", "id"],
        unique=False,
        sqlite_where=sa.text("ready IS NOT NULL"),
        postgresql_where=sa.text("ready IS NOT NULL"),
    )
    op.create_index("ix_delivery_unit_id", "delivery", ["unit_id"], unique=False)
    op.create_table(
        "waiting",
        sa.Column("key", TEXT, nullable=False),
        sa.Column("unit_id", TEXT, nullable=False),
        sa.ForeignKeyConstraint(["unit_id"], ["unit.id"], name=op.f("fk_waiting_unit_id")),
        sa.PrimaryKeyConstraint("key", "unit_id", name=op.f("pk_waiting")),
    )
    op.create_index("ix_waiting_unit_id", "waiting", ["unit_id"], unique=False)
    op.create_table(
        "attempt",
        sa.Column("delivery_id", TEXT, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("started", TEXT, nullable=False),
        sa.Column("ended", TEXT, nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("outcome", TEXT, nullable=False),
        sa.Column("note", TEXT, nullable=True),
        sa.ForeignKeyConstraint(
            ["delivery_id"], ["delivery.id"], name=op.f("fk_attempt_delivery_id")
        ),
        sa.PrimaryKeyConstraint("delivery_id", "number", name=op.f("pk_attempt")),
    )
