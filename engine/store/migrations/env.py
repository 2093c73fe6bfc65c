"""Where Alembic starts: it runs on the connection that the store hands it."""

from __future__ import annotations

from alembic import context

from engine.store.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    transactional_ddl=True,
    transaction_per_migration=False,
)
context.run_migrations()
