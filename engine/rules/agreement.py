"""Whether two orders of the same thing agree: how often, how long, how much."""

from __future__ import annotations

from collections.abc import Iterator

from engine.rules.orders import Order, daily
from engine.rules.timing import Span

_NEAR = 0.01


def disagreements(one: Order, other: Order) -> Iterator[tuple[str, str, str]]:
    """Yield kind of finding, and what each says, for all in which two orders differ.

    What only one of them says is no disagreement. Where both tell the amount of a day, the rate
    is part of it: 500 mg twice and 1 g once a day are told as one only if the day agrees.
    """
    amount = _amounts(one, other)
    if amount:
        yield ("quantity-disagreement", *amount)
    by_day = daily(one) and daily(other)
    if one.rate and other.rate and not one.rate.agrees(other.rate) and not by_day:
        yield "frequency-disagreement", one.rate.said, other.rate.said
    for first, second, each in (
        (one.session, other.session, "each"),
        (one.course, other.course, "in all"),
    ):
        if first and second and _apart(first, second):
            yield "duration-disagreement", f"{first.said} {each}", f"{second.said} {each}"
            return


def _amounts(one: Order, other: Order) -> tuple[str, str] | None:
    first, second = one.amount, other.amount
    if first is None or second is None or not first.comparable(second) or first.agrees(second):
        return None
    return first.said, second.said


def _apart(one: Span, other: Span) -> bool:
    return abs(one.days - other.days) > max(one.days, other.days) * _NEAR
