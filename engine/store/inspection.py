"""A look at the database from outside: nothing is migrated, nothing is written for good."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from engine.clock import Clock
from engine.errors import StoreError
from engine.store.database import connect, parse_url
from engine.store.migrate import HEAD, version


@dataclass(frozen=True, slots=True)
class Inspected:
    """Say how the database stands.

    `schema` is None where there is no record yet; `writable` is None or says why not; `skew` is how
    many seconds the database's clock is ahead of ours; `free` and `total` are bytes of the disk,
    where the record is a file of this machine.
    """

    kind: str
    schema: str | None
    expected: str
    unwritable: str | None = None
    skew: float = 0.0
    free: int | None = None
    total: int | None = None


def inspect_store(url: str, clock: Clock) -> Inspected:
    """Look at the database; raises StoreError where it cannot be reached."""
    address = parse_url(url)
    if address.get_backend_name() == "sqlite":
        return _file(address)
    return _server(address, clock)


def _file(address: URL) -> Inspected:
    path = Path(str(address.database))
    folder = next(parent for parent in path.parents if parent.exists())
    usage = shutil.disk_usage(folder)
    schema, unwritable = None, None
    if path.exists():
        schema, unwritable = _probe(address)
    elif not os.access(folder, os.W_OK | os.X_OK):
        unwritable = "its folder may not be written"
    return Inspected("sqlite", schema, HEAD, unwritable, 0.0, usage.free, usage.total)


def _probe(address: URL) -> tuple[str | None, str | None]:
    """Return the schema, and why nothing can be written: a transaction is begun and taken back."""
    engine = connect(address, "write")
    try:
        with engine.connect() as connection:
            schema = version(connection)
            connection.rollback()
            with connection.begin() as begun:
                if connection.dialect.name == "sqlite":
                    number = connection.execute(text("PRAGMA user_version")).scalar_one()
                    connection.execute(text(f"PRAGMA user_version = {int(number) + 1}"))
                else:
                    connection.execute(text("CREATE TEMPORARY TABLE carelane_probe (n int)"))
                begun.rollback()
            return schema, None
    except SQLAlchemyError as error:
        original = getattr(error, "orig", None) or error
        return None, f"the database refuses to write ({type(original).__name__}: {original})"
    finally:
        engine.dispose()


def _server(address: URL, clock: Clock) -> Inspected:
    engine = connect(address, "write")
    try:
        with engine.connect() as connection:
            before = clock.time()
            told = connection.execute(text("SELECT extract(epoch FROM clock_timestamp())"))
            skew = float(told.scalar_one()) - (before + clock.time()) / 2
    except SQLAlchemyError as error:
        raise StoreError(
            f"the database cannot be reached: {type(getattr(error, 'orig', error)).__name__}"
        ) from error
    finally:
        engine.dispose()
    schema, unwritable = _probe(address)
    return Inspected("postgresql", schema, HEAD, unwritable, skew)
