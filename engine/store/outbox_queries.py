"""The statements of the outbox that every claim and report runs, each served by a small index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import and_, bindparam, func, literal_column, or_, select, text, update
from sqlalchemy.sql import ClauseElement, ColumnElement

from engine.deliver.outbox import DELIVERY
from engine.store.database import Insert, Listing, Statement
from engine.store.rows import DeliveryRow
from engine.store.tables import STOPPED, delivery, lane, resource, unit

ROW = tuple(delivery.c[name] for name in DeliveryRow.__dataclass_fields__)


def _enter(insert: Any, places: range) -> ClauseElement:
    fresh = insert(lane).values(
        [
            {
                "destination": bindparam(f"destination{n}"),
                "member": bindparam(f"member{n}"),
                "last": bindparam(f"last{n}"),
                "open": bindparam(f"open{n}"),
            }
            for n in places
        ]
    )
    entered: ClauseElement = fresh.on_conflict_do_update(
        index_elements=["destination", "member"],
        set_={
            "last": lane.c.last + fresh.excluded.last,
            "open": lane.c.open + fresh.excluded.open,
        },
    ).returning(lane.c.destination, lane.c.member, lane.c.last, lane.c.open)
    return entered


def _entering(place: int, line: tuple[tuple[str, str], Sequence[object]]) -> dict[str, Any]:
    (destination, member), rows = line
    return {
        f"destination{place}": destination,
        f"member{place}": member,
        f"last{place}": len(rows),
        f"open{place}": len(rows),
    }


def _claim() -> ClauseElement:
    due = (
        select(delivery.c.id)
        .where(
            delivery.c.destination == bindparam("destination"), delivery.c.ready <= bindparam("now")
        )
        .order_by(delivery.c.ready, delivery.c.id)
        .limit(bindparam("count"))
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    return (
        update(delivery)
        .where(delivery.c.id.in_(select(due.c.id)))
        .values(
            state="leased",
            fence=delivery.c.fence + 1,
            attempts=delivery.c.attempts + 1,
            worker=bindparam("by"),
            lease_until=bindparam("until"),
            ready=bindparam("until"),
            changed=bindparam("now"),
        )
        .returning(*ROW)
    )


def _report() -> ClauseElement:
    return (
        update(delivery)
        .where(
            delivery.c.id == bindparam("which"),
            delivery.c.fence == bindparam("token"),
            delivery.c.state == "leased",
        )
        .values(
            state=bindparam("next"),
            due=func.coalesce(bindparam("at"), delivery.c.due),
            ready=bindparam("at"),
            reason=bindparam("why"),
            attempts=delivery.c.attempts - bindparam("uncounted"),
            queued=bindparam("stays"),
            blocking=bindparam("blocks"),
            worker=None,
            lease_until=None,
            changed=bindparam("now"),
        )
        .returning(
            delivery.c.message_id, delivery.c.unit_id, delivery.c.destination, delivery.c.member
        )
    )


ENTER = Listing(_enter, _entering, exact=True)
LEAVE = Statement(
    lambda _: (
        update(lane)
        .where(lane.c.destination == bindparam("at"), lane.c.member == bindparam("of"))
        .values(open=lane.c.open - 1)
        .returning(lane.c.open)
    )
)
ADD = Insert(delivery)
NEXT_IN_LINE = Statement(
    lambda _: (
        select(*ROW)
        .where(
            delivery.c.destination == bindparam("destination"), delivery.c.ready <= bindparam("now")
        )
        .order_by(delivery.c.ready, delivery.c.id)
        .limit(bindparam("count"))
    )
)
CLAIM = Statement(lambda _: _claim())
REPORT = Statement(lambda _: _report())
LEASED = Statement(
    lambda _: select(func.count()).where(
        delivery.c.destination == bindparam("destination"),
        delivery.c.lease_until > bindparam("now"),
    )
)
# Written out, not bound: only then does a partial index serve the query.
QUEUED = delivery.c.queued == literal_column("1")
BLOCKING = delivery.c.blocking == literal_column("1")
OPEN = delivery.c.state != literal_column("'delivered'")
FIRST = Statement(
    lambda _: (
        select(delivery.c.id, delivery.c.state, delivery.c.due)
        .where(
            delivery.c.destination == bindparam("destination"),
            delivery.c.member == bindparam("member"),
            QUEUED,
        )
        .order_by(delivery.c.sequence)
        .limit(1)
    )
)
BEHIND = Statement(
    lambda _: (
        select(*ROW)
        .where(
            delivery.c.destination == bindparam("destination"),
            delivery.c.member == bindparam("member"),
            QUEUED,
            delivery.c.state == "waiting",
        )
        .order_by(delivery.c.sequence)
        .limit(1)
    )
)
STANDING = Statement(
    lambda _: select(func.count()).select_from(
        select(delivery.c.id)
        .where(delivery.c.destination == bindparam("destination"), QUEUED)
        .limit(bindparam("most"))
        .subquery()
    )
)
READY = Statement(
    lambda _: (
        update(delivery).where(delivery.c.id == bindparam("which")).values(ready=bindparam("at"))
    )
)
EXTEND = Statement(
    lambda _: (
        update(delivery)
        .where(
            delivery.c.id == bindparam("which"),
            delivery.c.fence == bindparam("token"),
            delivery.c.state == "leased",
        )
        .values(lease_until=bindparam("until"), ready=bindparam("until"))
    )
)
BLOCKED = Statement(lambda _: select(delivery.c.destination).where(BLOCKING).distinct())
WAS_DELIVERED = Statement(
    lambda _: (
        select(delivery.c.id)
        .join(unit, unit.c.id == delivery.c.unit_id)
        .where(
            unit.c.resource == bindparam("reference"),
            delivery.c.destination == bindparam("destination"),
            delivery.c.state == "delivered",
        )
        .limit(1)
    )
)
CURRENT = Statement(
    lambda _: select(resource.c.version).where(
        resource.c.type == bindparam("type"), resource.c.id == bindparam("id")
    )
)


def linked(link: str) -> str:
    """Return the pattern of envelopes whose resource the destination knows by a link, or of all."""
    if not link:
        return "%"
    plain = link.replace("!", "!!").replace("_", "!_").replace("%", "!%")
    return f'%"reference":"{plain}"%'


NEWER = Statement(
    lambda _: (
        select(delivery.c.state)
        .join(unit, unit.c.id == delivery.c.unit_id)
        .where(
            unit.c.resource == bindparam("reference"),
            unit.c.version > bindparam("version"),
            delivery.c.destination == bindparam("destination"),
            delivery.c.envelope.like(bindparam("link"), escape="!"),
            or_(
                delivery.c.state == "delivered",
                and_(delivery.c.state == "waiting", delivery.c.attempts > 0),
            ),
        )
        .order_by(delivery.c.state)
        .limit(1)
    )
)
# Of those claimed at once the oldest version goes, unless a newer one was tried before; one that
# left before is waited for.
UNDER_WAY = Statement(
    lambda _: (
        select(delivery.c.id)
        .join(unit, unit.c.id == delivery.c.unit_id)
        .where(
            delivery.c.destination == bindparam("destination"),
            delivery.c.lease_until.is_not(None),
            delivery.c.state == "leased",
            delivery.c.id != bindparam("which"),
            unit.c.resource == bindparam("reference"),
            or_(
                delivery.c.changed < bindparam("now"),
                unit.c.version < bindparam("older"),
                and_(unit.c.version > bindparam("version"), delivery.c.attempts > 1),
            ),
        )
        .limit(1)
    )
)
NEXT = Statement(
    lambda _: (
        select(delivery.c.ready)
        .where(delivery.c.destination == bindparam("destination"), delivery.c.ready.is_not(None))
        .order_by(delivery.c.ready)
        .limit(1)
    )
)


def _in_state(state: str) -> ColumnElement[bool]:
    """Return the condition of a state, written so that the index for it serves."""
    known = delivery.c.state == literal_column(f"'{state}'")
    if state == "delivered":
        return known
    return and_(known, OPEN if state in ("waiting", "leased") else text(STOPPED))


IN_STATE = {state.name: _in_state(state.name) for state in DELIVERY.states}


def _of_member(state: str) -> Statement:
    standing = delivery.c.state == literal_column(f"'{state}'")
    return Statement(
        lambda _: (
            select(*ROW)
            .where(delivery.c.member == bindparam("member"), standing)
            .order_by(delivery.c.id)
        )
    )


OF_MEMBER = {state: _of_member(state) for state in ("held", "waiting")}
BY_ID = Statement(lambda _: select(*ROW).where(delivery.c.id == bindparam("id")))
OF_UNIT = Statement(
    lambda _: select(*ROW).where(delivery.c.unit_id == bindparam("unit")).order_by(delivery.c.id)
)
