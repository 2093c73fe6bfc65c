"""What every repository stands on: one open transaction of the database."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from sqlalchemy import Executable
from sqlalchemy.engine import Connection, CursorResult, Result
from sqlalchemy.exc import DBAPIError

from engine.clock import Clock
from engine.errors import StoreError
from engine.store.database import Insert, Statement
from engine.store.ids import Ids
from engine.store.memory import Memory, Recall
from engine.store.vault import PLAIN, Vault


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


class Reads:
    """Hold what a transaction asked the database, and what it was told."""

    def __init__(self) -> None:
        self._rows: list[tuple[Statement, Mapping[str, Any], Rows]] = []
        self._other = False
        """Whether anything was asked that cannot be compared, or written."""

    def note(self, statement: Statement, values: Mapping[str, Any], rows: Rows) -> None:
        """Note one question and its answer."""
        self._rows.append((statement, dict(values), rows))

    def note_other(self) -> None:
        """Note that something was asked which cannot be compared, or written."""
        self._other = True

    def same(self, session: Session) -> bool:
        """Tell whether another transaction would be told just the same."""
        return not self._other and all(
            list(session.run(statement, values)) == list(rows)
            for statement, values, rows in self._rows
        )


class Session:
    """Run statements inside one open transaction; `work` is set by what gives workers work."""

    def __init__(
        self,
        connection: Connection,
        clock: Clock,
        ids: Ids,
        memory: Memory | None = None,
        vault: Vault = PLAIN,
    ) -> None:
        self.connection = connection
        self.clock = clock
        self.ids = ids
        self.recall = Recall(memory)
        self.vault = vault
        self.work = False
        self._kept: dict[Insert, list[Mapping[str, Any]]] = {}
        self._kept_tables: set[str] = set()
        self._late: dict[str, Callable[[], None]] = {}
        self._reads: Reads | None = None

    @property
    def neutral(self) -> bool:
        """Tell whether this is SQLite, which has one writer at a time and needs no locks."""
        return self.connection.dialect.name == "sqlite"

    @cached_property
    def now(self) -> str:
        """The instant at which this transaction's first record was made."""
        return self.clock.now()

    def run(self, statement: Statement, values: Mapping[str, Any]) -> Rows:
        """Run a statement that was compiled before."""
        if not self._kept_tables.isdisjoint(statement.tables):
            self.flush()
        sql, order, constants = statement.on(self.connection)
        rows = self._send(sql, _bound(order, constants, values))
        if self._reads is not None:
            self._reads.note(statement, values, rows)
        return rows

    def writes(self) -> None:
        """Say that something is about to be written: StoreError where we only look ahead."""
        if self._reads is not None:
            raise StoreError("what writes is worked out in its turn")

    @contextmanager
    def reading(self) -> Iterator[Reads]:
        """Note what is read in this block."""
        reads = self._reads = Reads()
        try:
            yield reads
        finally:
            self._reads = None

    def _send(self, sql: str, values: Any, *, many: bool = False) -> Rows:
        """Hand SQL to the driver itself: SQLAlchemy's own way costs more than the database."""
        connection = self.connection
        fairy = connection.connection
        cursor = fairy.cursor()
        try:
            (cursor.executemany if many else cursor.execute)(sql, values)
            found = [] if cursor.description is None or many else cursor.fetchall()
            return Rows(found, cursor.rowcount)
        except connection.dialect.loaded_dbapi.Error as error:
            raise self._wrapped(error, sql, fairy) from error
        finally:
            cursor.close()

    def _wrapped(self, error: Exception, sql: str, fairy: Any) -> BaseException:
        """Return the driver's error as SQLAlchemy would raise it; values are left out."""
        dialect = self.connection.dialect
        lost = dialect.is_disconnect(error, fairy, None)  # type: ignore[arg-type]
        base = dialect.loaded_dbapi.Error
        return DBAPIError.instance(
            sql, None, error, base, connection_invalidated=lost, dialect=dialect
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
            self.flush()
        sql, order, constants = insert.on(self.connection)
        bound = [_bound(order, constants, row) for row in rows]
        return self._send(sql, bound, many=True).rowcount

    def later(self, table: str, work: Callable[[], None]) -> None:
        """Run `work` once, before anybody looks at `table`, and before the transaction ends."""
        self.writes()
        self._late[table] = work
        self._kept_tables.add(table)

    def flush(self) -> None:
        """Send every row that was added, parents before children."""
        late, self._late = self._late, {}
        self._kept_tables.difference_update(late)
        for work in late.values():
            work()
        kept, self._kept = self._kept, {}
        self._kept_tables.clear()
        for insert in sorted(kept, key=lambda one: one.rank):
            sql, order, constants = insert.on(self.connection)
            bound = [_bound(order, constants, row) for row in kept[insert]]
            self._send(sql, bound, many=True)

    def execute(self, statement: Executable) -> Result[*tuple[Any, ...]]:
        """Run a statement that is built on the way."""
        self.flush()
        self.writes()  # or reads what cannot be compared
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


def _bound(
    order: tuple[str, ...] | None, constants: Mapping[str, Any], values: Mapping[str, Any]
) -> Any:
    if order is None:
        return {**constants, **values}
    return tuple([values[name] if name in values else constants[name] for name in order])
