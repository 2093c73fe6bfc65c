"""Copies of the whole record: to a SQLite file while it is in use, and from one into its place."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import Table, delete, insert, select, text
from sqlalchemy.engine import URL, Connection
from sqlalchemy.exc import SQLAlchemyError

from engine.audit import GENESIS, Ends
from engine.errors import StoreError
from engine.store.database import connect, keep_private, parse_url, use_wal
from engine.store.migrate import HEAD, migrate, version
from engine.store.tables import METADATA, audit, chain, entity, message

_PAGE = 1000
_NO_RECORD = "no record of carelane is in it"


def copy_out(source: str, file: Path) -> Ends:
    """Copy the record at the address `source` to a new SQLite file, as it stands at one moment.

    A SQLite record is copied by SQLite itself, others table by table in one snapshot. Writers go
    on meanwhile; only the file's owner may read it. Returns the ends of the copy's chain. Raises
    StoreError where the file exists, or the record cannot be read.
    """
    if file.exists():
        raise StoreError("the file exists already; a backup never overwrites one")
    address = parse_url(source)
    part = file.with_name(file.name + ".part")
    part.unlink(missing_ok=True)
    try:
        keep_private(part)
        if address.get_backend_name() == "sqlite":
            _copy_file(Path(str(address.database)), part)
        else:
            _copy_tables(address, parse_url(f"sqlite:///{part}"))
        ends = _settled(part)
        part.rename(file)
    except (SQLAlchemyError, sqlite3.Error, OSError) as error:
        raise StoreError(f"the record cannot be copied: {type(error).__name__}") from error
    finally:
        part.unlink(missing_ok=True)
    return ends


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
        old.backup(new)  # in one step: between two of them a writer would have it begin anew


def _settled(file: Path) -> Ends:
    """Leave a copy in one file and return the ends of its chain; its schema may be an older one."""
    with closing(sqlite3.connect(file)) as copy:
        copy.execute("PRAGMA journal_mode=DELETE")
    engine = connect(parse_url(f"sqlite:///{file}"), "read")
    try:
        with engine.connect() as reading:
            if version(reading) is None:
                raise StoreError(_NO_RECORD)
            found = reading.execute(
                select(chain.c.first, chain.c.before, chain.c.last, chain.c.hash)
            )
            row = found.first()
    finally:
        engine.dispose()
    return Ends(*row) if row else Ends(1, GENESIS, 0, GENESIS)


def _copy_tables(source: URL, target: URL) -> None:
    """Copy every table in one snapshot into one transaction."""
    old, new = connect(source, "read"), connect(target, "write")
    try:
        with old.connect() as reading, reading.begin():
            _expect_ours(version(reading))
            if new.dialect.name == "sqlite":
                use_wal(new)
            migrate(new)
            with new.connect() as writing, writing.begin():
                _expect_nothing(writing)
                _clear(writing)
                for table in METADATA.sorted_tables:
                    _copy_table(table, reading, writing)
                _count_on(writing)
    finally:
        old.dispose()
        new.dispose()


def _expect_ours(schema: str | None) -> None:
    if schema is None:
        raise StoreError(_NO_RECORD)
    if schema != HEAD:
        raise StoreError(
            f"what is to be copied has schema {schema}, this version of carelane {HEAD}: use the "
            "version that made it, then let this one bring it up to date"
        )


def _expect_nothing(connection: Connection) -> None:
    told = select(audit.c.sequence).where(audit.c.kind != "timer.done")
    for query in (select(message.c.id), select(entity.c.id), told):
        if connection.execute(query.limit(1)).first() is not None:
            raise StoreError("there is a record at this address already; it is left as it is")


def _clear(connection: Connection) -> None:
    """Remove what a server puts down as it starts, such as the timer of the next pruning."""
    for table in reversed(METADATA.sorted_tables):
        connection.execute(delete(table))


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
