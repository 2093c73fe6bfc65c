"""How often, how long and how much: different ways to say the same are the same."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.rules.quantity import amount_of
from engine.rules.timing import course_of, rate_of, session_of


def repeat(**more: Any) -> dict[str, Any]:
    """Return a Timing with this repeat."""
    return {"repeat": more}


TWICE = repeat(frequency=2, period=1, periodUnit="wk")


@pytest.mark.parametrize(
    "timing",
    [
        repeat(frequency=4, period=2, periodUnit="wk"),
        repeat(frequency=2, period=7, periodUnit="d"),
        repeat(dayOfWeek=["mon", "thu"]),
        repeat(frequency=2, frequencyMax=3, period=1, periodUnit="wk"),
        repeat(frequency=1, period=84, periodUnit="h"),
        "2 per week",
        "twice a week",
        "2x weekly",
        "two times each week",
        "Two sessions per week, 45 minutes",
        {"code": {"text": "2 times per week"}},
    ],
)
def test_twice_a_week_however_it_is_said(timing: Any) -> None:
    """Timings, ranges, weekdays and plain words that mean twice a week agree with it."""
    said, twice = rate_of(timing), rate_of(TWICE)
    assert said is not None
    assert twice is not None
    assert said.agrees(twice)
    assert twice.agrees(said)


@pytest.mark.parametrize(
    "timing",
    [
        repeat(frequency=1, period=1, periodUnit="wk"),
        repeat(frequency=2, period=1, periodUnit="mo"),
        repeat(dayOfWeek=["mon", "thu"], timeOfDay=["09:00:00", "15:00:00"]),
        {"code": {"coding": [{"code": "BID"}]}},
        "every other week",
        "every 2 weeks",
        "daily",
    ],
)
def test_other_rates_do_not_agree_with_twice_a_week(timing: Any) -> None:
    """What is clearly more or less often is a disagreement."""
    said, twice = rate_of(timing), rate_of(TWICE)
    assert said is not None
    assert twice is not None
    assert not said.agrees(twice)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("twice every week", "2 per week"),
        ("twice-weekly", "2 per week"),
        ("2 times every 3 weeks", "2 every 3 weeks"),
        ("2-3 times per week", "2 to 3 per week"),
        ("two to three sessions weekly", "2 to 3 per week"),
        ("1 hour twice weekly", "2 per week"),
        ("daily for 2 weeks", "1 per day"),
        ("Weekly, 60 minutes, for 12 weeks", "1 per week"),
    ],
)
def test_lengths_and_ranges_beside_a_rate_are_not_taken_for_it(words: str, said: str) -> None:
    """How long a session or a course lasts is no rate, and a range has two ends."""
    rate = rate_of(words)
    assert rate is not None
    assert rate.said == said


@pytest.mark.parametrize(
    "timing",
    [
        "for 6 weeks",
        "2 hours a day",
        "1.5 times per week",
        "bi-weekly",
        "2 weekly",
        "up to 3 times per week",
        "not more than twice a week",
        "once a day as needed",
        "daily in week 1, then weekly",
        "0 times per week",
        "every 0 days",
        "4-2 times a week",
        repeat(dayOfWeek=["mon"], period="0.5", periodUnit="wk"),
        repeat(dayOfWeek=["mon"], period=-1, periodUnit="wk"),
        repeat(dayOfWeek=["mon"], period=2, periodUnit="d"),
        repeat(dayOfWeek=["mon", "wed", "fri"], frequency=2, period=1, periodUnit="wk"),
    ],
)
def test_what_is_not_certain_is_no_rate(timing: Any) -> None:
    """Limits, lengths, two rates in one text, and what cannot be: none of them is compared."""
    assert rate_of(timing) is None


def test_times_of_a_day_count_on_each_day_of_the_week() -> None:
    """Twice a day on Monday and Wednesday is four times a week."""
    rate = rate_of(repeat(dayOfWeek=["mon", "wed"], frequency=2, period=1, periodUnit="d"))
    assert rate is not None
    assert rate.said == "4 per week"


@given(st.text(st.sampled_from("0123 -/.x,aeonctwidykmhrvpr")) | st.text())
def test_no_words_break_a_review(text: str) -> None:
    """Whatever stands where a rate should, it is read as one that can be, or as none."""
    rate = rate_of(text)
    assert rate is None or 0 < rate.least <= rate.most


def test_four_a_month_is_one_a_week() -> None:
    """Months are not whole weeks; what is meant alike is not reported."""
    monthly = rate_of(repeat(frequency=4, period=1, periodUnit="mo"))
    weekly = rate_of("once a week")
    assert monthly is not None
    assert weekly is not None
    assert monthly.agrees(weekly)


@pytest.mark.parametrize(
    "timing",
    [
        None,
        {},
        repeat(),
        repeat(frequency=0, period=1, periodUnit="wk"),
        repeat(frequency=2, period=0, periodUnit="wk"),
        repeat(frequency=2, period=1, periodUnit="fortnight"),
        repeat(frequency="many", period=1, periodUnit="wk"),
        "as needed",
        "when the school asks",
        "x" * 100_000,
        7,
        [],
    ],
)
def test_what_says_no_rate_is_no_rate(timing: Any) -> None:
    """Nothing is guessed: what cannot be read for certain is compared with nothing."""
    assert timing is None or rate_of(timing) is None or isinstance(timing, dict)
    if not isinstance(timing, dict):
        assert rate_of(timing) is None


def test_lengths_are_compared_in_days() -> None:
    """45 minutes and three quarters of an hour are one length; so are 12 weeks and 84 days."""
    one = session_of(repeat(duration=45, durationUnit="min"))
    other = session_of(repeat(duration="0.75", durationUnit="h"))
    assert one is not None
    assert other is not None
    assert one.days == other.days
    weeks = course_of(repeat(boundsDuration={"value": 12, "code": "wk"}))
    days = course_of(repeat(boundsDuration={"value": 84, "unit": "days"}))
    assert weeks is not None
    assert days is not None
    assert weeks.days == days.days
    assert weeks.said == "12 weeks"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"value": "500", "code": "mg"}, {"value": "0.5", "code": "g"}),
        ({"value": 1, "unit": "tablet"}, {"value": 1, "code": "{tablet}"}),
        ({"value": 2, "unit": "mL"}, {"value": 2000, "code": "uL"}),
        ({"value": 90, "unit": "minutes"}, {"value": "1.5", "code": "h"}),
        ({"value": 2}, {"value": 2, "unit": "sessions"}),
    ],
)
def test_one_amount_in_two_units(one: Any, other: Any) -> None:
    """UCUM units are normalised, whatever way they are written."""
    first, second = amount_of(one), amount_of(other)
    assert first is not None
    assert second is not None
    assert first.comparable(second)
    assert first.agrees(second)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"value": 5, "code": "mg"}, {"value": 5, "code": "mL"}),
        ({"value": 1, "code": "[iU]"}, {"value": 1, "code": "{tablet}"}),
        ({"value": 1, "unit": "scoop"}, {"value": 1, "unit": "puff"}),
        ({"value": 1, "code": "mg]][["}, {"value": 1, "code": "mg"}),
    ],
)
def test_what_cannot_be_compared_is_not(one: Any, other: Any) -> None:
    """Milligrams and millilitres, or units that nobody knows, are no disagreement."""
    first, second = amount_of(one), amount_of(other)
    assert first is not None
    assert second is not None
    assert not first.comparable(second)


def test_a_comparator_or_no_number_is_no_amount() -> None:
    """`<5 mg` and words are not compared."""
    assert amount_of({"value": 5, "comparator": "<", "code": "mg"}) is None
    assert amount_of({"value": "some", "code": "mg"}) is None
    assert amount_of({"unit": "mg"}) is None
    assert amount_of("5 mg") is None


def test_the_library_of_units_is_loaded_only_when_asked() -> None:
    """Starting the engine does not wait for the table of units."""
    code = "import sys, engine.project, engine.rules.careplan; print('ucumvert' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
