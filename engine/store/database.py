"""How each database is spoken to: its connections, its transactions and its few differences."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

from sqlalchemy import ClauseElement, Table, bindparam, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, Connection, Dialect, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.visitors import iterate

from engine.errors import StoreError

BUSY_SECONDS = 30
CHECKPOINT_PAGES = 8000
"""How long SQLite's log grows, in pages of 4 kB, before what it holds goes into the file."""

_RETRIED = frozenset({"40001", "40P01"})
"""PostgreSQL: serialization failure and deadlock, cured by doing it again."""

LIVENESS: Mapping[str, Any] = {
    "connect_timeout": 10,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
"""PostgreSQL: how a connection is given up that a network swallows, in seconds and milliseconds.

https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
"""

Mode = Literal["write", "read"]


class Prepared(NamedTuple):
    """Hold SQL text for one database, and what makes its parameters of values by name."""

    sql: str
    bind: Callable[[Mapping[str, Any]], Any]


class Statement:
    """Hold one statement that is compiled once for each database.

    `build` gets the database's own `insert`, the only construct whose upsert the two databases
    offer under different names. `tables` names every table that it looks at.
    """

    def __init__(self, build: Callable[[Any], ClauseElement]) -> None:
        self._build = build
        self._prepared: dict[str, Prepared] = {}

    @cached_property
    def tables(self) -> frozenset[str]:
        return frozenset(str(table.name) for table in self._tables)

    @cached_property
    def needs(self) -> frozenset[str]:
        """The tables that it looks at and all those that their rows refer to."""
        found, unread = set(), list(self._tables)
        while unread:
            table = unread.pop()
            if table.name not in found:
                found.add(str(table.name))
                unread += [key.column.table for key in table.foreign_keys]
        return frozenset(found)

    @cached_property
    def _tables(self) -> list[Table]:
        return [part for part in iterate(self._build(sqlite.insert)) if isinstance(part, Table)]

    def on(self, dialect: Dialect) -> Prepared:
        """Return the statement as one database takes it."""
        found = self._prepared.get(dialect.name)
        if found is None:
            found = self._prepared[dialect.name] = self._prepare(dialect)
        return found

    def _prepare(self, dialect: Dialect) -> Prepared:
        insert = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}[dialect.name]
        compiled = self._build(insert).compile(dialect=dialect)
        assert isinstance(compiled, SQLCompiler)
        constants = {name: bind.value for name, bind in compiled.binds.items() if not bind.required}
        return Prepared(str(compiled), _binder(compiled.positiontup, constants))


def _binder(
    order: Sequence[str] | None, constants: Mapping[str, Any]
) -> Callable[[Mapping[str, Any]], Any]:
    """Return what makes parameters of values: by name, or in the order of their places."""
    if order is None:
        return lambda values: {**constants, **values}
    if not order:
        return lambda values: ()
    if len(order) == 1:
        [name] = order
        return lambda values: (values[name] if name in values else constants[name],)
    placed = itemgetter(*order)
    if not constants:
        return placed
    return lambda values: placed({**constants, **values})


class Listing:
    """Hold a statement over a list of values, compiled for each size: a power of two.

    `build` gets the database's `insert` and the positions of the list. Each value is a tuple, or
    what `split` makes one of; its parts are named, with its position behind (`member3`). Where
    there is one name, a value is what it names. A list that falls short of its size is filled up
    with its last value, or with what `filler` makes of that.
    """

    def __init__(
        self,
        build: Callable[[Any, range], ClauseElement],
        *names: str,
        split: Callable[[Any], Iterable[Any]] | None = None,
        filler: Callable[[Any], Any] | None = None,
    ) -> None:
        self._build = build
        self._names = names
        self._split = split
        self._filler = filler
        self._sizes: dict[int, tuple[Statement, list[str]]] = {}

    def of(self, values: Sequence[Any]) -> tuple[Statement, dict[str, Any]]:
        """Return the statement for so many values, and its parameters."""
        size = 1 << (len(values) - 1).bit_length()
        statement, names = self._sizes.get(size) or self._sized(size)
        parts: Iterable[Any] = values
        if (short := size - len(values)) > 0:
            last = values[-1] if self._filler is None else self._filler(values[-1])
            parts = [*values, *[last] * short]
        if len(self._names) > 1:
            parts = chain.from_iterable(map(self._split, parts) if self._split else parts)
        return statement, dict(zip(names, parts, strict=True))

    def _sized(self, size: int) -> tuple[Statement, list[str]]:
        statement = Statement(lambda insert: self._build(insert, range(size)))
        names = [f"{name}{place}" for place in range(size) for name in self._names]
        self._sizes[size] = statement, names
        return statement, names


class Insert(Statement):
    """Add whole rows to one table.

    With `repeated` a row that is there already stays as it is, with `renewed` it is replaced.
    """

    def __init__(self, table: Table, *, repeated: bool = False, renewed: bool = False) -> None:
        self.table = table.name
        self.rank = [known.name for known in table.metadata.sorted_tables].index(table.name)

        def build(insert: Any) -> ClauseElement:
            row = insert(table).values({one.name: bindparam(one.name) for one in table.c})
            if repeated:
                row = row.on_conflict_do_nothing()
            elif renewed:
                rest = {one.name: row.excluded[one.name] for one in table.c if not one.primary_key}
                row = row.on_conflict_do_update(index_elements=table.primary_key, set_=rest)
            added: ClauseElement = row
            return added

        super().__init__(build)


def parse_url(text: str) -> URL:
    """Read the `store` setting: `sqlite:///path` or `postgresql://...`."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as error:
        raise StoreError("the store's address is no URL such as sqlite:///var/x.db") from error
    match url.get_backend_name():
        case "sqlite" if url.database and url.database != ":memory:":
            return url.set(drivername="sqlite+pysqlite")
        case "postgresql":
            return url.set(drivername="postgresql+psycopg")
    raise StoreError(
        f"the store's address starts with '{urlsplit(text).scheme}:'; "
        "expected sqlite:///path-to-a-file or postgresql://..."
    )


def is_missing(text: str) -> bool:
    """Tell whether an address names no file, or an empty one; raises StoreError for no address.

    Whether a database on another machine is there is seen by connecting to it.
    """
    url = parse_url(text)
    if url.get_backend_name() != "sqlite":
        return False
    file = Path(str(url.database))
    return not file.is_file() or not file.stat().st_size


def connect(url: URL, mode: Mode) -> Engine:
    """Return an engine whose transactions all write, or all read one snapshot."""
    if url.get_backend_name() == "sqlite":
        return _sqlite(url, mode)
    return _postgresql(url, mode)


def keep_private(file: Path) -> None:
    """Begin a file that only its owner may read; SQLite's log follows it.

    FileExistsError where there is one: it is not even opened, for to close it again would end every
    lock that this process has on it (https://www.sqlite.org/howtocorrupt.html, section 2.2).
    """
    os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _sqlite(url: URL, mode: Mode) -> Engine:
    if mode == "write":
        with suppress(OSError):  # it is there, or SQLite says what is wrong
            keep_private(Path(str(url.database)).resolve())
    engine = create_engine(
        url,
        pool_size=8 if mode == "read" else 1,
        max_overflow=16,
        connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute("PRAGMA cache_size=-32000")
        cursor.execute("PRAGMA temp_store=MEMORY")
        if mode == "read":
            cursor.execute("PRAGMA query_only=ON")
        cursor.close()

    statement = "BEGIN IMMEDIATE" if mode == "write" else "BEGIN"

    def begin(dbapi_connection: Any) -> None:
        dbapi_connection.dbapi_connection.execute(statement)

    # Not an event, whose errors nobody would translate; SQLAlchemy's own way to run a statement
    # takes longer than SQLite does to begin and to commit.
    engine.dialect.do_begin = begin  # type: ignore[method-assign]
    return engine


def _postgresql(url: URL, mode: Mode) -> Engine:
    settings = "-c idle_in_transaction_session_timeout=60000 -c synchronous_commit=on"
    engine = create_engine(
        url,
        pool_size=8 if mode == "read" else 1,
        max_overflow=16,
        pool_pre_ping=mode == "read",
        connect_args={**LIVENESS, "options": settings},
    )
    if mode == "read":
        return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    return engine


class Standing:
    """Keep one connection of an engine for one transaction after another of the same thread."""

    def __init__(self, engine: Engine, prepare: Callable[[Connection], None] | None = None) -> None:
        self._engine = engine
        self._prepare = prepare
        self._connection: Connection | None = None

    def connection(self) -> Connection:
        """Return the connection, made anew where there is none."""
        if self._connection is None:
            self._connection = self._engine.connect()
            if self._prepare is not None:
                self._prepare(self._connection)
        return self._connection

    def drop(self) -> None:
        """Let go of the connection: after an error nobody knows what state it is in."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                connection.invalidate()
            with suppress(Exception):
                connection.close()


def flush_later(connection: Connection) -> None:
    """Let a connection to SQLite commit without waiting for the disk (`engine.store.flushing`)."""
    cursor = connection.connection.cursor()
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def use_wal(engine: Engine) -> bool:
    """Switch a SQLite file to write-ahead logging, able to shrink; waits for others who do it.

    False where its file system offers no such log.
    """
    until = time.monotonic() + BUSY_SECONDS
    while True:
        raw = engine.raw_connection()
        try:
            cursor = raw.cursor()
            cursor.execute("PRAGMA auto_vacuum=INCREMENTAL")  # heeded by a new file only
            (mode,) = cursor.execute("PRAGMA journal_mode=WAL").fetchone()
            return bool(mode == "wal")
        except Exception as error:
            # SQLite answers "locked" at once here, without waiting as it does elsewhere.
            if "locked" not in str(error) or time.monotonic() > until:
                raise StoreError(f"the store cannot be opened: {error}") from error
            time.sleep(0.02)
        finally:
            raw.close()


def breaks_transaction(error: BaseException) -> bool:
    """Tell whether the whole transaction is lost with this error (disk, connection, locks)."""
    if not isinstance(error, DBAPIError):
        return False
    return error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)


def spoils_transaction(error: BaseException) -> bool:
    """Tell whether nothing can be committed any more after this error.

    PostgreSQL refuses all that follows a statement that failed there, and names a state for it;
    what its driver would not send, such as text with a NUL, has none and spoils nothing.
    """
    return _state(error) is not None or breaks_transaction(error)


def may_repeat(error: BaseException) -> bool:
    """Tell whether the database asks to do the same transaction again."""
    return _state(error) in _RETRIED


def _state(error: BaseException) -> str | None:
    """Return the state by which PostgreSQL tells why a statement failed; SQLite has none."""
    return getattr(error.orig, "sqlstate", None) if isinstance(error, DBAPIError) else None
