"""Copies of the whole record: to a SQLite file while it is in use, and from one into its place."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import Table, insert, select, text
from sqlalchemy.engine import URL, Connection
from sqlalchemy.exc import SQLAlchemyError

from engine.errors import StoreError
from engine.store.database import connect, parse_url
from engine.store.migrate import HEAD, migrate, version
from engine.store.tables import METADATA, audit, entity, message

_PAGE = 1000
_PAGES_AT_ONCE = 1000


def copy_out(source: str, file: Path) -> None:
    """Copy the record at the address `source` to a new SQLite file, as it stands at one moment.

    A SQLite record is copied by SQLite itself, others table by table in one snapshot. Writers go
    on meanwhile. Raises StoreError where the file exists, or the record cannot be read.
    """
    if file.exists():
        raise StoreError("the file exists already; a backup never overwrites one")
    address = parse_url(source)
    part = file.with_name(file.name + ".part")
    part.unlink(missing_ok=True)
    try:
        if address.get_backend_name() == "sqlite":
            _copy_file(Path(str(address.database)), part)
        else:
            _copy_tables(address, parse_url(f"sqlite:///{part}"))
        part.rename(file)
    except (SQLAlchemyError, sqlite3.Error, OSError) as error:
        raise StoreError(f"the record cannot be copied: {type(error).__name__}") from error
    finally:
        part.unlink(missing_ok=True)


def copy_in(file: Path, target: str) -> None:
    """Fill the record at the address `target`, which must hold nothing yet, from a copy.

    The copy may come from another kind of database. Raises StoreError where there is something.
    """
    address = parse_url(target)
    if not file.is_file():
        raise StoreError("there is no such file")
    if address.get_backend_name() == "sqlite":
        Path(str(address.database)).parent.mkdir(parents=True, exist_ok=True)
    try:
        _copy_tables(parse_url(f"sqlite:///{file}"), address)
    except (SQLAlchemyError, OSError) as error:
        raise StoreError(f"the copy cannot be restored: {type(error).__name__}") from error


def _copy_file(source: Path, file: Path) -> None:
    if not source.is_file():
        raise StoreError("there is no record at this address yet")
    with (
        closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as old,
        closing(sqlite3.connect(file)) as new,
    ):
        old.backup(new, pages=_PAGES_AT_ONCE, sleep=0.005)
        new.execute("PRAGMA journal_mode=DELETE")


def _copy_tables(source: URL, target: URL) -> None:
    """Copy every table in one snapshot into one transaction."""
    old, new = connect(source, "read"), connect(target, "write")
    try:
        with old.connect() as reading, reading.begin():
            if version(reading) != HEAD:
                raise StoreError(
                    f"the copy has schema {version(reading)}, this version of carelane {HEAD}: "
                    "use the version that made it, then let this one bring it up to date"
                )
            migrate(new)
            with new.connect() as writing, writing.begin():
                _expect_nothing(writing)
                for table in METADATA.sorted_tables:
                    _copy_table(table, reading, writing)
                _count_on(writing)
    finally:
        old.dispose()
        new.dispose()


def _expect_nothing(connection: Connection) -> None:
    for table in (message, audit, entity):
        if connection.execute(select(table).limit(1)).first() is not None:
            raise StoreError("there is a record at this address already; it is left as it is")


def _copy_table(table: Table, old: Connection, new: Connection) -> None:
    query = select(table)
    if table is entity:  # those that were merged come behind those they were merged into
        query = query.order_by(entity.c.merged_into.is_not(None))
    rows = old.execution_options(yield_per=_PAGE).execute(query)
    for page in rows.mappings().partitions():
        new.execute(insert(table), [dict(row) for row in page])


def _count_on(connection: Connection) -> None:
    """Let PostgreSQL number messages on from the last one; SQLite does so by itself."""
    if connection.dialect.name == "postgresql":
        connection.execute(
            text(
                "SELECT setval(pg_get_serial_sequence('message', 'number'), "
                "(SELECT coalesce(max(number), 0) + 1 FROM message), false)"
            )
        )
