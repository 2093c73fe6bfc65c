"""FHIR dates of any precision become intervals, in the zone that is stated."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.fhir.dates import (
    ALWAYS,
    BEGINNING,
    birthday,
    covers,
    dates_in,
    instants_in,
    interval,
    moment,
    overlaps,
    period,
)

SECOND = 1_000_000
HOUR = 3600 * SECOND
DAY = 24 * HOUR


def length(text: str, zone: str = "UTC") -> int:
    found = interval(text, zone)
    assert found is not None
    return found[1] - found[0]


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("2026", 365 * DAY),
        ("2024", 366 * DAY),
        ("2026-02", 28 * DAY),
        ("2026-12", 31 * DAY),
        ("2026-05-01", DAY),
        ("2026-05-01T10:00Z", 60 * SECOND),
        ("2026-05-01T10:00:00Z", SECOND),
        ("2026-05-01T10:00:00.5+02:00", SECOND // 10),
        ("2026-05-01T10:00:00.123456789Z", 1),
    ],
)
def test_a_date_covers_what_it_names(text: str, size: int) -> None:
    """A year is a year long, a day a day, an instant as long as its last digit."""
    assert length(text) == size


def test_a_day_is_as_long_as_its_zone_makes_it() -> None:
    """On the days when clocks change a day has 23 or 25 hours."""
    assert length("2026-03-29", "Europe/Berlin") == 23 * HOUR
    assert length("2026-10-25", "Europe/Berlin") == 25 * HOUR


def test_unusual_times() -> None:
    """A leap second is the last of its minute; 24:00 is the end of its day."""
    assert interval("2016-12-31T23:59:60Z") == interval("2016-12-31T23:59:59Z")
    assert interval("2026-05-01T24:00:00Z") == interval("2026-05-02T00:00:00Z")
    assert interval("2026-05-01T10:00:00+02:00") == interval("2026-05-01T08:00:00Z")
    assert interval("2026-05-01T10:00:00", "Europe/Berlin") == interval("2026-05-01T08:00:00Z")
    assert interval("9999-12-31") is not None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "26",
        "2026-13",
        "2026-02-30",
        "01.05.2026",
        "2026-05-01T25:00:00Z",
        "2026-05-01T24:01:00Z",
    ],
)
def test_what_is_no_date(text: str) -> None:
    """Text that names no day is None, never a guess."""
    assert interval(text) is None


@given(st.text(max_size=30))
def test_no_text_raises(text: str) -> None:
    """Any text is an interval that ends after it starts, or None."""
    found = interval(text)
    assert found is None or found[0] < found[1]


def test_periods() -> None:
    """An end covers its whole day, missing bounds are open, broken ones make no period."""
    day = interval("2026-05-31")
    whole = period({"start": "2026-05-01", "end": "2026-05-31"})
    assert day is not None
    assert whole is not None
    assert covers(whole, day)
    assert whole[1] == day[1]
    assert period({}) == ALWAYS
    for broken in ({"end": "soon"}, {"start": "2027", "end": "2026"}, {"end": 3}, [], None):
        assert period(broken) is None
    assert period({"start": "2026", "_end": {"extension": []}}) is None


def test_neighbours_do_not_overlap() -> None:
    """The last moment of one day is not the first of the next."""
    one, two = interval("2026-05-01"), interval("2026-05-02")
    assert one is not None
    assert two is not None
    assert one[1] == two[0]
    assert not overlaps(one, two)


def test_a_moment_is_a_point() -> None:
    """An instant is one microsecond, a date all of its day."""
    point = moment("2026-05-01T10:00:00Z")
    assert point is not None
    assert point[1] - point[0] == 1
    assert moment("2026-05-01") == interval("2026-05-01")


def test_birthdays() -> None:
    """A vague birth date gives a vague birthday; 29 February falls on the 28th."""
    assert birthday("2008-05-02", 18) == interval("2026-05-02")
    assert birthday("2008", 18) == interval("2026")
    assert birthday("2008-02-29", 18) == interval("2026-02-28")
    assert birthday("unknown", 18) is None


STATED = st.one_of(
    st.sampled_from(
        (
            "2026",
            "2026-05-01",
            "2026-05-01T10:00:00Z",
            "2026-05-01T10:00:00\tZ",
            '2026 "or" 2027',
            "\u0662\u0660\u0662\u0666",
            'on "2026-05-01"',
            "\\",
        )
    ),
    st.text(max_size=8),
    st.integers(1900, 2100),
    st.none(),
)
TREES = st.recursive(
    STATED, lambda inner: st.lists(inner) | st.dictionaries(st.text('abc"', max_size=3), inner)
)


def texts(tree: object) -> list[str]:
    """Return every text in a tree, by looking at each of its parts."""
    if isinstance(tree, str):
        return [tree]
    inner = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    return [text for one in inner for text in texts(one)]


@given(TREES)
def test_every_date_in_a_tree_is_found(tree: object) -> None:
    """Wherever it stands, and whatever stands beside it: no date hides from its reader."""
    assert sorted(dates_in(tree)) == sorted(
        one for one in texts(tree) if one[:4].isdecimal() and len(one) > 3
    )


def test_only_times_of_day_are_instants() -> None:
    """A date turns at a midnight; a time without offset turns nobody knows when."""
    said = {"a": ["2026-05-01", {"b": "2026-05-01T10:00Z"}], "c": "from 2026-05-01T11:00Z"}
    assert [*instants_in(said)] == [*(interval("2026-05-01T10:00Z") or ())]
    assert BEGINNING in [*instants_in({"a": "2026-05-01T10:00"})]
