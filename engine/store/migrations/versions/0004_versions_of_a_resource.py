"""Find the units of a resource by its version."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    where = sa.text("version IS NOT NULL")
    op.create_index(
        "ix_unit_version",
        "unit",
        ["resource", "version"],
        unique=False,
        sqlite_where=where,
        postgresql_where=where,
    )
