"""Keep subscriptions: those of systems here, and ours elsewhere."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _subscription()
    op.create_table(
        "subscription_event",
        sa.Column("subscription_id", TEXT, nullable=False),
        sa.Column("number", NUMBER, nullable=False),
        sa.Column("at", TEXT, nullable=False),
        sa.Column("resource", TEXT, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["subscription.id"],
            name=op.f("fk_subscription_event_subscription_id"),
        ),
        sa.PrimaryKeyConstraint("subscription_id", "number", name=op.f("pk_subscription_event")),
        sa.UniqueConstraint(
            "subscription_id",
            "resource",
            "version",
            name=op.f("uq_subscription_event_subscription_id_resource_version"),
        ),
    )
    op.create_table(
        "reader",
        sa.Column("name", TEXT, nullable=False),
        sa.Column("sequence", NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_reader")),
    )
    op.create_table(
        "watch",
        sa.Column("system", TEXT, nullable=False),
        sa.Column("id", TEXT, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("remote", TEXT, nullable=True),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("heard", NUMBER, nullable=False),
        sa.Column("told", NUMBER, nullable=False),
        sa.Column("heard_at", TEXT, nullable=False),
        sa.Column("due", TEXT, nullable=False),
        sa.Column("behind", sa.Integer(), nullable=False),
        sa.Column("reason", TEXT, nullable=True),
        sa.Column("created", TEXT, nullable=False),
        sa.Column("changed", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("system", name=op.f("pk_watch")),
        sa.UniqueConstraint("id", name=op.f("uq_watch_id")),
    )
    op.create_table(
        "news",
        sa.Column("watch_id", TEXT, nullable=False),
        sa.Column("number", NUMBER, nullable=False),
        sa.Column("at", TEXT, nullable=False),
        sa.Column("resource", TEXT, nullable=True),
        sa.PrimaryKeyConstraint("watch_id", "number", name=op.f("pk_news")),
    )


def _subscription() -> None:
    op.create_table(
        "subscription",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("system", TEXT, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("topic", TEXT, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created", TEXT, nullable=False),
        sa.Column("changed", TEXT, nullable=False),
        sa.Column("ends", TEXT, nullable=True),
        sa.Column("since", NUMBER, nullable=False),
        sa.Column("events", NUMBER, nullable=False),
        sa.Column("reason", TEXT, nullable=True),
        sa.Column("message_id", TEXT, nullable=False),
        sa.Column("unit_id", TEXT, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("headers", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(
            ["message_id"], ["message.id"], name=op.f("fk_subscription_message_id")
        ),
        sa.ForeignKeyConstraint(["unit_id"], ["unit.id"], name=op.f("fk_subscription_unit_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subscription")),
    )
    op.create_index("ix_subscription_system_id", "subscription", ["system", "id"], unique=False)
    live = sa.text("state IN ('requested', 'active', 'error')")
    op.create_index(
        "ix_subscription_live",
        "subscription",
        ["id"],
        unique=False,
        sqlite_where=live,
        postgresql_where=live,
    )
