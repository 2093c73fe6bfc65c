"""Bring the schema of a database up to what this version of the engine expects."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import inspect, text
from sqlalchemy.engine import Connection, Engine

from engine.errors import StoreError

HEAD = "0006"
"""The newest migration; opening a store that is there already loads no Alembic."""

_FOLDER = Path(__file__).parent / "migrations"
_LOCK = 4_211_202_605


def migrate(engine: Engine) -> None:
    """Run the migrations that the database lacks, all in one transaction, one process at a time."""
    with engine.connect() as connection, connection.begin():
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        found = version(connection)
        if found == HEAD:
            return
        if found is not None and found > HEAD:
            raise StoreError(
                f"the store has schema {found}, made by a newer carelane; this one knows {HEAD}"
            )
        _upgrade(connection)


def version(connection: Connection) -> str | None:
    """Return the migration that the database is at, or None where it is new."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return found


def _upgrade(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415 - slow to load, needed once in a store's life
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
