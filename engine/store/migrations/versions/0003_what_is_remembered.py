"""Count changes of what processes remember; find messages of one system by time."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.add_column("chain", sa.Column("known", number, nullable=False, server_default=sa.text("0")))
    op.create_index("ix_message_system_received", "message", ["system", "received"], unique=False)
