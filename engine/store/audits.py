"""The audit table: records gathered during a transaction, chained just before it is committed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import orjson
from sqlalchemy import bindparam, delete, select, update

from engine.audit import GENESIS, PRUNED, Break, Ends, Record, breaks, sealed
from engine.store.database import Insert, Statement
from engine.store.session import Session
from engine.store.tables import audit, chain

_LAST = Statement(lambda _: select(chain.c.last, chain.c.hash, chain.c.known).with_for_update())
_MOVE = Statement(
    lambda _: update(chain).values(
        last=bindparam("to"), hash=bindparam("hash"), known=bindparam("count")
    )
)
_KNOWN = Statement(lambda _: select(chain.c.known))
_START = Statement(lambda insert: insert(chain).on_conflict_do_nothing())
_ADD = Insert(audit)
_FIELDS = tuple(column.name for column in audit.c)
_PAGE = 2000


class Audits:
    """Append to the ledger's chain and check it."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._pending: list[tuple[str | None, ...]] = []
        """Of each record all but its sequence and its hash, which it gets when it is sealed."""
        self.known: int | None = None

    def changes(self) -> int:
        """Return how often anything was written that somebody may remember (`store.memory`)."""
        found: int | None = self._session.run(_KNOWN, {}).scalar()
        return found or 0

    def append(
        self,
        kind: str,
        body: dict[str, Any] | None = None,
        *,
        message: str | None = None,
        unit: str | None = None,
        delivery: str | None = None,
        actor: str = "engine",
    ) -> None:
        """Add one record: `kind` is `noun.verb`, `body` data without payload values."""
        self._session.writes()
        text = orjson.dumps(body or {}, option=orjson.OPT_SORT_KEYS).decode()
        now = self._session.now
        self._pending.append((now, kind, actor, message, unit, delivery, text))

    def seal(self) -> None:
        """Write what was appended into the chain: the last thing before a commit.

        The chain's end stays locked until the commit, so records of all processes form one chain.
        `known` is then the count of changes as this transaction found it.
        """
        if not self._pending and not self._session.recall.changed:
            return
        sequence, before, self.known = self._end()
        rows = []
        pending, self._pending = self._pending, []
        for fields in pending:
            sequence += 1
            before = sealed(before, sequence, *fields)
            rows.append(dict(zip(_FIELDS, (sequence, *fields, before), strict=True)))
        self._session.add(_ADD, rows)
        count = self.known + self._session.recall.changed
        self._session.run(_MOVE, {"to": sequence, "hash": before, "count": count})

    def _end(self) -> tuple[int, str, int]:
        found = self._session.run(_LAST, {}).first()
        if found is None:
            start = {"id": 1, "first": 1, "before": GENESIS, "last": 0, "hash": GENESIS}
            self._session.run(_START, {**start, "known": 0})
            found = self._session.run(_LAST, {}).one()
        return found[0], found[1], found[2]

    def of_message(self, message: str) -> list[Record]:
        """Return every record about a message, its units and deliveries, in order."""
        query = select(audit).where(audit.c.message_id == message).order_by(audit.c.sequence)
        return [Record(*row) for row in self._session.execute(query)]

    def of_kind(
        self, kind: str, *, since: str | None = None, until: str | None = None
    ) -> list[Record]:
        """Return every record of one kind, in order."""
        query = select(audit).where(audit.c.kind == kind).order_by(audit.c.sequence)
        if since is not None:
            query = query.where(audit.c.at >= since)
        if until is not None:
            query = query.where(audit.c.at < until)
        return [Record(*row) for row in self._session.execute(query)]

    def between(self, after: int, to: int, kinds: Sequence[str]) -> list[Record]:
        """Return the records of some kinds behind one sequence and up to another, in order."""
        query = select(audit).where(audit.c.sequence > after, audit.c.sequence <= to)
        query = query.where(audit.c.kind.in_(kinds)).order_by(audit.c.sequence)
        return [Record(*row) for row in self._session.execute(query)]

    def ends(self) -> Ends:
        """Return both ends of the chain; keep them elsewhere to notice that its end was cut off."""
        row = self._session.execute(
            select(chain.c.first, chain.c.before, chain.c.last, chain.c.hash)
        ).first()
        return Ends(*row) if row else Ends(1, GENESIS, 0, GENESIS)

    def records(self) -> Iterator[Record]:
        """Yield every record in order, whatever its sequence."""
        query = select(audit).order_by(audit.c.sequence).limit(_PAGE)
        page = [Record(*row) for row in self._session.execute(query)]
        while page:
            yield from page
            behind = query.where(audit.c.sequence > page[-1].sequence)
            page = [Record(*row) for row in self._session.execute(behind)]

    def verify(self, known: Ends | None = None) -> list[Break]:
        """Return every place where a record was changed, removed or moved; [] for a whole chain.

        `known` is the chain's end as it was noted elsewhere at an earlier time.
        """
        found = list(breaks(self.ends(), self.records()))
        if known is not None and not self._holds(known):
            found.append(Break(known.last, "the record noted elsewhere is not in the chain"))
        return found

    def _holds(self, known: Ends) -> bool:
        query = select(audit.c.hash).where(audit.c.sequence == known.last)
        kept = self._session.execute(query).scalar()
        return kept == known.hash or (kept is None and known.last < self.ends().first)

    def prune(self, before: str, most: int | None = None) -> int:
        """Remove records made before an instant, the oldest `most` of them; return how many.

        The hash of the last one removed stays as the start of the kept chain, and a record of the
        removal, with that hash, goes into the chain itself.
        """
        self._end()  # locked: whoever else prunes now does so behind what this one leaves
        ends = self.ends()
        first_kept = select(audit.c.sequence).where(
            audit.c.at >= before, audit.c.sequence >= ends.first
        )
        keep = self._session.execute(first_kept.order_by(audit.c.sequence).limit(1)).scalar()
        last = ends.last if keep is None else keep - 1
        if most is not None:
            last = min(last, ends.first + most - 1)
        row = self._session.execute(select(audit.c.hash).where(audit.c.sequence == last)).first()
        if row is None:
            return 0
        removed = self._session.changed(delete(audit).where(audit.c.sequence <= last))
        self._session.execute(update(chain).values(first=last + 1, before=row[0]))
        self.append(PRUNED, {"through": last, "hash": row[0], "records": removed})
        return removed
