"""The statements of the outbox that every claim and report runs, each served by a small index."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    Select,
    and_,
    bindparam,
    case,
    exists,
    func,
    literal_column,
    or_,
    select,
    text,
    true,
    union_all,
    update,
)
from sqlalchemy.sql import ClauseElement, ColumnElement

from engine.deliver.outbox import DELIVERY
from engine.store.database import Insert, Listing, Statement
from engine.store.rows import DeliveryRow
from engine.store.tables import STOPPED, delivery, lane, unit

ROW = tuple(delivery.c[name] for name in DeliveryRow.__dataclass_fields__)
_CLAIMED: dict[str, ColumnElement[Any]] = {
    "state": literal_column("'leased'"),
    "fence": delivery.c.fence + 1,
    "attempts": delivery.c.attempts + 1,
    "worker": bindparam("by", type_=delivery.c.worker.type),
    "lease_until": bindparam("until", type_=delivery.c.lease_until.type),
}
AS_CLAIMED = tuple(_CLAIMED.get(column.name, column) for column in ROW)
"""A row as it is once claimed."""


# Written out, not bound: only then does a partial index serve the query.
QUEUED = delivery.c.queued == literal_column("1")
BLOCKING = delivery.c.blocking == literal_column("1")
OPEN = delivery.c.state != literal_column("'delivered'")
_ONE: ColumnElement[int] = literal_column("1")


def _among(column: ColumnElement[Any], name: str, places: range) -> ColumnElement[bool]:
    """Return the condition that a column has one of the values of a listing."""
    return column.in_([bindparam(f"{name}{n}") for n in places])


def _line(place: int) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions of what stands in the line at one place of a listing."""
    return (
        delivery.c.destination == bindparam(f"destination{place}"),
        delivery.c.member == bindparam(f"member{place}"),
        QUEUED,
    )


_CHANGE = ("destination", "member", "last", "open")
"""What changes of a line: how many enter it, and how many more (or less) stand in it."""


def _flat(change: tuple[tuple[str, str], int, int]) -> tuple[str, str, int, int]:
    line, entering, standing = change
    return (*line, entering, standing)


def _nothing(change: tuple[tuple[str, str], int, int]) -> tuple[tuple[str, str], int, int]:
    """Return the change of a line that changes nothing of it."""
    return change[0], 0, 0


def _change(place: int) -> Select[Any]:
    return select(
        *[bindparam(f"{name}{place}", type_=lane.c[name].type).label(name) for name in _CHANGE],
        literal_column(str(place)).label("place"),
    )


def _lines(insert: Any, places: range) -> ClauseElement:
    """Return the statement that changes lines, each once however often it is named.

    Lines are locked in the order given: the database's own order of text may be another.
    """
    each = union_all(*map(_change, places)).subquery()
    line = (each.c.destination, each.c.member)
    summed = select(*line, func.sum(each.c.last), func.sum(each.c.open)).group_by(*line)
    # SQLite takes what follows for a join where there is no condition before it.
    placed = summed.where(true()).order_by(func.min(each.c.place))
    fresh = insert(lane).from_select(_CHANGE, placed)
    changed: ClauseElement = fresh.on_conflict_do_update(
        index_elements=["destination", "member"],
        set_={
            "last": lane.c.last + fresh.excluded.last,
            "open": lane.c.open + fresh.excluded.open,
        },
    ).returning(lane.c.destination, lane.c.member, lane.c.last, lane.c.open)
    return changed


def _due() -> Select[Any]:
    return (
        select(*AS_CLAIMED)
        .where(
            delivery.c.destination == bindparam("destination"), delivery.c.ready <= bindparam("now")
        )
        .order_by(delivery.c.ready, delivery.c.id)
        .limit(bindparam("count"))
    )


def _take(_insert: Any, places: range) -> ClauseElement:
    return (
        update(delivery)
        .where(_among(delivery.c.id, "id", places))
        .values(
            state="leased",
            fence=delivery.c.fence + 1,
            attempts=delivery.c.attempts + 1,
            worker=bindparam("by"),
            lease_until=bindparam("until"),
            ready=bindparam("until"),
            changed=bindparam("now"),
        )
    )


def _held(_insert: Any, places: range) -> ClauseElement:
    return (
        select(
            delivery.c.id,
            delivery.c.fence,
            delivery.c.message_id,
            delivery.c.unit_id,
            delivery.c.destination,
            delivery.c.member,
        )
        .where(_among(delivery.c.id, "id", places), delivery.c.state == "leased")
        .order_by(delivery.c.id)
        .with_for_update()
    )


def _arrive(_insert: Any, places: range) -> ClauseElement:
    return (
        update(delivery)
        .where(_among(delivery.c.id, "id", places))
        .values(
            state=bindparam("next"),
            ready=None,
            reason=None,
            queued=0,
            blocking=0,
            worker=None,
            lease_until=None,
            changed=bindparam("now"),
        )
    )


def _first(place: int, *more: ColumnElement[bool]) -> Any:
    """Return the id of the first delivery in a line."""
    query = select(delivery.c.id).where(*_line(place), *more)
    return query.order_by(delivery.c.sequence).limit(_ONE).scalar_subquery()


def _promote(_insert: Any, places: range) -> ClauseElement:
    return (
        update(delivery)
        .where(delivery.c.id.in_([_first(n) for n in places]), delivery.c.state == "waiting")
        .values(ready=delivery.c.due)
    )


def _behind(_insert: Any, places: range) -> ClauseElement:
    waits = delivery.c.state == "waiting"
    return select(*AS_CLAIMED).where(delivery.c.id.in_([_first(n, waits) for n in places]))


def _front(place: int) -> Select[Any]:
    there = delivery.c.destination == bindparam(f"destination{place}")
    first = select(delivery.c.ready).where(there, delivery.c.ready.is_not(None))
    return select(
        literal_column(str(place)).label("place"),
        first.order_by(delivery.c.ready).limit(_ONE).scalar_subquery().label("ready"),
        exists().where(there, BLOCKING).label("blocked"),
    )


def _fronts(_insert: Any, places: range) -> ClauseElement:
    """Return where something waits for its instant, at few of the places mostly."""
    each = union_all(*map(_front, places)).subquery()
    return select(each).where(each.c.ready.is_not(None))


def _under_way(_insert: Any, places: range) -> ClauseElement:
    return (
        select(delivery.c.id, delivery.c.destination, unit.c.resource)
        .join(unit, unit.c.id == delivery.c.unit_id)
        .where(
            _among(delivery.c.destination, "destination", places),
            delivery.c.lease_until.is_not(None),
            delivery.c.state == "leased",
            unit.c.resource.is_not(None),
        )
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


LINES = Listing(_lines, *_CHANGE, split=_flat, filler=_nothing)
ADD = Insert(delivery)
NEXT_IN_LINE = Statement(lambda _: _due())
DUE = Statement(lambda _: _due().with_for_update(skip_locked=True))
TAKE = Listing(_take, "id")
HELD = Listing(_held, "id")
ARRIVE = Listing(_arrive, "id")
PROMOTE = Listing(_promote, "destination", "member")
BEHIND = Listing(_behind, "destination", "member")
FRONTS = Listing(_fronts, "destination")
REPORT = Statement(lambda _: _report())
LEASED = Statement(
    lambda _: select(
        func.count(), func.count(case((delivery.c.lease_until > bindparam("now"), _ONE)))
    ).where(delivery.c.destination == bindparam("destination"), delivery.c.lease_until.is_not(None))
)
# How many stand in line, up to a number; no row is read for it, only its entry in the index.
STANDING = Statement(
    lambda _: select(func.count()).select_from(
        select(_ONE)
        .where(delivery.c.destination == bindparam("destination"), QUEUED)
        .limit(bindparam("most"))
        .subquery()
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
UNDER_WAY = Listing(_under_way, "destination")


def _in_state(state: str) -> ColumnElement[bool]:
    """Return the condition of a state, written so that the index for it serves."""
    known = delivery.c.state == literal_column(f"'{state}'")
    if state == "delivered":
        return known
    return and_(known, OPEN if state in ("waiting", "leased") else text(STOPPED))


IN_STATE = {state.name: _in_state(state.name) for state in DELIVERY.states}


def _of_member(state: str) -> Listing:
    standing = delivery.c.state == literal_column(f"'{state}'")
    return Listing(
        lambda _, places: (
            select(*ROW)
            .where(_among(delivery.c.member, "member", places), standing)
            .order_by(delivery.c.id)
        ),
        "member",
    )


OF_MEMBER = {state: _of_member(state) for state in ("held", "waiting")}
BY_ID = Statement(lambda _: select(*ROW).where(delivery.c.id == bindparam("id")))
OF_UNIT = Statement(
    lambda _: select(*ROW).where(delivery.c.unit_id == bindparam("unit")).order_by(delivery.c.id)
)
