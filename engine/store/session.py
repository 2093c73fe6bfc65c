"""What every repository stands on: one open transaction of the database."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from sqlalchemy import Executable
from sqlalchemy.engine import Connection, CursorResult, Result
from sqlalchemy.exc import DBAPIError

from engine.clock import Clock
from engine.errors import StoreError
from engine.store.answers import Answers, Reads
from engine.store.database import Insert, Listing, Statement, spoils_transaction
from engine.store.ids import Ids
from engine.store.memory import Memory, Recall
from engine.store.vault import PLAIN, Vault

_IN_ITS_TURN = "what writes is worked out in its turn"

_PAGE = 64
"""Of how many values a listing is asked at once."""


class Rows:
    """Hold what a statement gave: rows as tuples, and how many it changed."""

    __slots__ = ("_found", "rowcount")

    def __init__(self, found: Sequence[tuple[Any, ...]], rowcount: int) -> None:
        self._found = found
        self.rowcount = rowcount

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return iter(self._found)

    def first(self) -> tuple[Any, ...] | None:
        """Return the first row, if any."""
        return self._found[0] if self._found else None

    def one(self) -> tuple[Any, ...]:
        """Return the one row that there must be."""
        (row,) = self._found
        return row

    def scalar(self) -> Any:
        """Return the first value of the first row, or None."""
        return self._found[0][0] if self._found else None

    def scalar_one(self) -> Any:
        """Return the one value that there must be."""
        return self.one()[0]

    def scalars(self) -> Iterator[Any]:
        """Yield the first value of each row."""
        return (row[0] for row in self._found)


class Session:
    """Run statements inside one open transaction; `work` is set by what gives workers work."""

    def __init__(
        self,
        connection: Connection,
        clock: Clock,
        ids: Ids,
        memory: Memory | None = None,
        vault: Vault = PLAIN,
        *,
        writable: bool = True,
    ) -> None:
        self.connection = connection
        self._dialect = connection.dialect
        self._failure = connection.dialect.loaded_dbapi.Error
        self.neutral = connection.dialect.name == "sqlite"
        """Whether this is SQLite, which has one writer at a time and needs no locks."""
        self.clock = clock
        self.ids = ids
        self.recall = Recall(memory)
        self.vault = vault
        self.writable = writable
        self.work = False
        self._kept: dict[Insert, list[Mapping[str, Any]]] = {}
        self._kept_tables: set[str] = set()
        self._late: dict[str, Callable[[], None]] = {}
        self.reads: Reads | None = None
        """What is read now, where this only looks ahead."""
        self.answers = Answers(self, keep=self.neutral and memory is not None)

    @cached_property
    def now(self) -> str:
        """The instant at which this transaction's first record was made."""
        return self.clock.now()

    def run(self, statement: Statement, values: Mapping[str, Any]) -> Rows:
        """Run a statement that was compiled before."""
        rows = self.fetch(statement, values)
        if self.reads is not None:
            self.reads.note(statement, values, rows)
        return rows

    def fetch(self, statement: Statement, values: Mapping[str, Any]) -> Rows:
        """Run a statement whose answer is noted, or remembered, by whoever asks."""
        if not self._kept_tables.isdisjoint(statement.tables):
            self.flush(statement.needs)
        prepared = statement.on(self._dialect)
        return self._send(prepared.sql, prepared.bind(values))

    def each(self, listing: Listing, values: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
        """Yield all that a listing gives for `values`, as `fetch` does; asked page by page."""
        for start in range(0, len(values), _PAGE):
            yield from self.fetch(*listing.of(values[start : start + _PAGE]))

    def spoilt_by(self, error: BaseException) -> bool:
        """Tell whether this transaction is lost with an error, so that it must be told of it."""
        return isinstance(error, StoreError) or spoils_transaction(error)

    @property
    def looks_ahead(self) -> bool:
        """Whether this reads a snapshot ahead of a turn, and can write nothing."""
        return self.reads is not None

    def writes(self) -> None:
        """Say that something is about to be written: StoreError where we only look (ahead)."""
        if not self.writable:
            raise StoreError("what only reads cannot write")
        if self.reads is not None:
            raise StoreError(_IN_ITS_TURN)

    @contextmanager
    def reading(self) -> Iterator[Reads]:
        """Note what is read in this block."""
        reads = self.reads = Reads()
        try:
            yield reads
        finally:
            self.reads = None

    def _send(self, sql: str, values: Any) -> Rows:
        """Hand SQL to the driver itself: SQLAlchemy's own way costs more than the database."""
        cursor = self._driver.cursor()
        try:
            cursor.execute(sql, values)
            found = [] if cursor.description is None else cursor.fetchall()
            return Rows(found, cursor.rowcount)
        except self._failure as error:
            raise self._wrapped(error, sql) from error
        finally:
            cursor.close()

    def _send_many(self, sql: str, rows: Iterable[Any]) -> int:
        """Run SQL once for each of `rows`; return how many rows it changed in all."""
        cursor = self._driver.cursor()
        try:
            cursor.executemany(sql, rows)
            return int(cursor.rowcount)
        except self._failure as error:
            raise self._wrapped(error, sql) from error
        finally:
            cursor.close()

    @cached_property
    def _driver(self) -> Any:
        """The connection as the driver has it."""
        return self.connection.connection.dbapi_connection

    def _wrapped(self, error: Exception, sql: str) -> BaseException:
        """Return the driver's error as SQLAlchemy would raise it; values are left out."""
        dialect, raw = self._dialect, self.connection.connection
        lost = dialect.is_disconnect(error, raw, None)  # type: ignore[arg-type]
        return DBAPIError.instance(
            sql, None, error, self._failure, connection_invalidated=lost, dialect=dialect
        )

    def add(self, insert: Insert, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows; they are sent together with others, before anybody looks at their table."""
        self.writes()
        if rows:
            self._kept.setdefault(insert, []).extend(rows)
            self._kept_tables.add(insert.table)

    def insert(self, insert: Insert, rows: Sequence[Mapping[str, Any]]) -> int:
        """Add rows at once; return how many were not there before."""
        self.writes()
        if not self._kept_tables.isdisjoint(insert.tables):
            self.flush(insert.needs)
        prepared = insert.on(self._dialect)
        return self._send_many(prepared.sql, map(prepared.bind, rows))

    def later(self, table: str, work: Callable[[], None]) -> None:
        """Run `work` once, before anybody looks at `table`, and before the transaction ends."""
        self.writes()
        self._late[table] = work
        self._kept_tables.add(table)

    def flush(self, tables: Collection[str] | None = None) -> None:
        """Send the rows that were added (to some tables, parents among them), parents first."""
        for table in [name for name in self._late if tables is None or name in tables]:
            work = self._late.pop(table)
            self._kept_tables.discard(table)
            work()
        due = [one for one in self._kept if tables is None or one.table in tables]
        for insert in sorted(due, key=lambda one: one.rank):
            prepared = insert.on(self._dialect)
            self._send_many(prepared.sql, map(prepared.bind, self._kept.pop(insert)))
        self._kept_tables = {insert.table for insert in self._kept} | self._late.keys()

    def execute(self, statement: Executable) -> Result[*tuple[Any, ...]]:
        """Run a statement that is built on the way."""
        self.flush()
        if self.reads is not None:  # it writes, or reads what cannot be compared
            raise StoreError(_IN_ITS_TURN)
        return self.connection.execute(statement)

    def changed(self, statement: Executable) -> int:
        """Run an update or delete that is built on the way; return how many rows it changed."""
        result = self.execute(statement)
        assert isinstance(result, CursorResult)
        return result.rowcount

    def lock(self, *names: str) -> None:
        """Let nobody else hold any of `names` until this transaction ends."""
        if not self.neutral and names:
            calls = ", ".join(["pg_advisory_xact_lock(hashtextextended(%s, 0))"] * len(names))
            self._send(f"SELECT {calls}", tuple(sorted(names)))

    def try_lock(self, name: str) -> bool:
        """Lock `name` as `lock` does, or return False at once where somebody else has it."""
        if self.neutral:
            return True
        call = "SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))"
        return bool(self._send(call, (name,)).scalar_one())
