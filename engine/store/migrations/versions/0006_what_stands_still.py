"""Find what stands still, however much moves: of a member, and the newest of each state."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


STOPPED = "state IN ('held', 'dead', 'skipped', 'discarded', 'superseded')"


def upgrade() -> None:
    _index("ix_delivery_held", "delivery", ["member"], "state = 'held'")
    _index("ix_delivery_stopped", "delivery", ["state", "id"], STOPPED)
    _index("ix_unit_held_id", "unit", ["id"], "state = 'held'")


def _index(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(
        name,
        table,
        columns,
        unique=False,
        sqlite_where=sa.text(where),
        postgresql_where=sa.text(where),
    )
