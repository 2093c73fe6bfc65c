"""How often and how long: Timing and plain words turned into numbers that can be compared."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

_DAYS: Mapping[str, Fraction] = {
    "s": Fraction(1, 86_400),
    "min": Fraction(1, 1_440),
    "h": Fraction(1, 24),
    "d": Fraction(1),
    "wk": Fraction(7),
    "mo": Fraction(487, 16),
    "a": Fraction(1461, 4),
}
"""Days in each unit of Timing.repeat; month and year as UCUM defines them (30.4375, 365.25)."""

_CODED: Mapping[str, tuple[int, int, str]] = {
    "QD": (1, 1, "d"), "BID": (2, 1, "d"), "TID": (3, 1, "d"), "QID": (4, 1, "d"),
    "AM": (1, 1, "d"), "PM": (1, 1, "d"), "BED": (1, 1, "d"), "QOD": (1, 2, "d"),
    "Q1H": (1, 1, "h"), "Q2H": (1, 2, "h"), "Q3H": (1, 3, "h"), "Q4H": (1, 4, "h"),
    "Q6H": (1, 6, "h"), "Q8H": (1, 8, "h"), "WK": (1, 1, "wk"), "MO": (1, 1, "mo"),
}  # fmt: skip
"""Frequency, period and unit of the codes of http://hl7.org/fhir/R4/valueset-timing-abbreviation.html."""

_NUMBERS = {
    "once": 1, "one": 1, "a": 1, "twice": 2, "two": 2, "thrice": 3, "three": 3, "four": 4,
    "five": 5, "six": 6, "seven": 7,
}  # fmt: skip
_OFTEN = ("once", "twice", "thrice")
_UNITS = {
    "day": "d", "daily": "d", "d": "d", "week": "wk", "weekly": "wk", "wk": "wk", "month": "mo",
    "monthly": "mo", "mo": "mo", "year": "a", "yearly": "a", "hour": "h", "hourly": "h",
}  # fmt: skip
_NUMBER = r"\d{1,3}|one|two|three|four|five|six|seven"
_COUNT = rf"(?:once|twice|thrice|{_NUMBER})"
_TO = r"\s*(?:-|to|or)\s*"
_UNIT = r"(?:hour|day|week|wk|month|mo|year)s?"
_ADVERB = r"(?:hourly|daily|weekly|monthly|yearly)"
_PHRASE = re.compile(
    rf"""
    (?<![\w.,/-])(?P<least>{_COUNT})(?:{_TO}(?P<most>{_COUNT}))?
    \s*(?P<times>x|times|sessions?|visits?)?\s*
    (?:(?:per|an?|each|every|/)\s*(?:(?P<period>{_NUMBER}|other)\s+)?(?P<unit>{_UNIT})\b
      |(?P<adverb>{_ADVERB})\b)
    |\bevery\s+(?:(?P<each>{_NUMBER}|other)(?:{_TO}(?P<longest>{_NUMBER}))?\s+)?(?P<of>{_UNIT})\b
    |(?<!\bbi\s)(?<!\bsemi\s)\b(?P<bare>{_ADVERB})\b
    """,
    re.VERBOSE,
)
"""Whatever says how often: so many times in a period, every so often, or one word for it."""

_UNSURE = re.compile(
    r"\b(?:up to|at least|at most|max(?:imum)?|not|no|without|less|fewer|more|needed|prn|stop)\b"
)
_DASH = re.compile(r"[\u2010-\u2015]")
_BETWEEN = re.compile(r"(?<=[a-z])-(?=[a-z])")
_MOST_WORDS = 200

CLOSE = Fraction(9, 100)
"""Rates closer than this are one: 4 a month and 1 a week are meant alike."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Hold how often per week, from `least` to `most`; `said` is how a person would say it."""

    least: Fraction
    most: Fraction
    said: str

    def agrees(self, other: Rate) -> bool:
        """Tell whether both may be meant alike."""
        low, high = max(self.least, other.least), min(self.most, other.most)
        return low <= high or (low - high) / low < CLOSE


def rate_of(timing: Any) -> Rate | None:
    """Return the rate of a Timing or of words such as `2 per week`, or None where none is said."""
    if isinstance(timing, str):
        return rate_of_words(timing)
    if not isinstance(timing, Mapping):
        return None
    repeat = timing.get("repeat")
    if isinstance(repeat, Mapping) and (told := _repeated(repeat)):
        return told
    return _coded(timing.get("code"))


def rate_of_words(text: str) -> Rate | None:
    """Return the rate that plain English says; only what is certain is read.

    Limits (`up to 3`), conditions (`as needed`) and several rates in one text are none.
    """
    words = " ".join(_DASH.sub("-", text[:_MOST_WORDS].lower()).split())
    words = _BETWEEN.sub(" ", words)
    if _UNSURE.search(words):
        return None
    rates = [_phrase(found) for found in _PHRASE.finditer(words)]
    first = rates[0] if rates else None
    alike = first is not None and all(
        rate is not None and (rate.least, rate.most) == (first.least, first.most) for rate in rates
    )
    return first if alike else None


def _phrase(found: re.Match[str]) -> Rate | None:
    """Return what one phrase says; None where it cannot be, or means two things."""
    if bare := found["bare"]:
        return _rate(1, 1, 1, _UNITS[bare])
    if unit := found["of"]:
        period = _number(found["each"] or "one")
        longest = _number(found["longest"]) if found["longest"] else period
        if not 0 < period <= longest:
            return None
        return _rate(1, 1, period, _UNITS[unit.removesuffix("s")], longest)
    least = _number(found["least"])
    most = _number(found["most"]) if found["most"] else least
    if not 0 < least <= most:
        return None
    if adverb := found["adverb"]:
        if found["least"] not in _OFTEN and not found["times"]:
            return None  # "2 weekly" is twice a week, or every other
        return _rate(least, most, 1, _UNITS[adverb])
    period = _number(found["period"] or "one")
    unit = _UNITS[found["unit"].removesuffix("s")]
    return _rate(least, most, period, unit) if period else None


def _number(word: str) -> int:
    return int(word) if word.isdigit() else _NUMBERS.get(word, 2)


def _repeated(repeat: Mapping[str, Any]) -> Rate | None:
    unit, period = repeat.get("periodUnit"), _exact(repeat.get("period"))
    times = _listed(repeat.get("timeOfDay")) or _listed(repeat.get("when"))
    days = _listed(repeat.get("dayOfWeek"))
    if days and (unit in (None, "wk", "d")):
        return _on_days(repeat, len(days), max(len(times), 1))
    if not isinstance(unit, str) or unit not in _DAYS or not period or period <= 0:
        return _rate(len(times), len(times), 1, "d") if times else None
    least = _exact(repeat.get("frequency")) or Fraction(max(len(times), 1))
    most = _exact(repeat.get("frequencyMax")) or least
    longest = _exact(repeat.get("periodMax")) or period
    if least <= 0 or most < least or longest < period:
        return None
    return _rate(least, most, period, unit, longest)


def _on_days(repeat: Mapping[str, Any], days: int, times: int) -> Rate | None:
    """Return the rate of what is done on some days of the week, so many times on each."""
    period = _exact(repeat.get("period", 1))
    stated = _exact(repeat.get("frequency"))
    if period is None or period <= 0 or period.denominator != 1 or "frequencyMax" in repeat:
        return None
    if repeat.get("periodUnit") == "d":
        if period != 1 or (stated is not None and stated <= 0):
            return None
        return _rate((stated or times) * days, (stated or times) * days, 1, "wk")
    count = times * days
    return _rate(count, count, period, "wk") if stated in (None, 1, count) else None


def _coded(concept: Any) -> Rate | None:
    if not isinstance(concept, Mapping):
        return None
    for coding in _listed(concept.get("coding")):
        if isinstance(coding, Mapping) and (known := _CODED.get(str(coding.get("code")).upper())):
            return _rate(known[0], known[0], known[1], known[2])
    text = concept.get("text")
    return rate_of_words(text) if isinstance(text, str) else None


def _rate(
    least: Fraction | int,
    most: Fraction | int,
    period: Fraction | int,
    unit: str,
    longest: Fraction | int | None = None,
) -> Rate:
    week = _DAYS["wk"]
    low = least * week / ((longest or period) * _DAYS[unit])
    return Rate(low, most * week / (period * _DAYS[unit]), _said(least, most, period, unit))


_NAMES = {"s": "second", "min": "minute", "h": "hour", "d": "day", "wk": "week"} | {
    "mo": "month", "a": "year",
}  # fmt: skip


def _said(least: Fraction | int, most: Fraction | int, period: Fraction | int, unit: str) -> str:
    count = number(least) if least == most else f"{number(least)} to {number(most)}"
    if period == 1:
        return f"{count} per {_NAMES[unit]}"
    return f"{count} every {number(period)} {_NAMES[unit]}s"


def number(value: Fraction | int) -> str:
    """Write a number as people do: 2, 1.5."""
    return str(value) if value == int(value) else f"{float(value):g}"


@dataclass(frozen=True, slots=True)
class Span:
    """Hold a length of time in days, and how a person would say it."""

    days: Fraction
    said: str


def session_of(timing: Any) -> Span | None:
    """Return how long one session lasts (Timing.repeat.duration)."""
    repeat = timing.get("repeat") if isinstance(timing, Mapping) else None
    if not isinstance(repeat, Mapping):
        return None
    return _span(repeat.get("duration"), repeat.get("durationUnit"))


def course_of(timing: Any) -> Span | None:
    """Return for how long it goes on (Timing.repeat.boundsDuration)."""
    repeat = timing.get("repeat") if isinstance(timing, Mapping) else None
    bounds = repeat.get("boundsDuration") if isinstance(repeat, Mapping) else None
    if not isinstance(bounds, Mapping):
        return None
    return _span(bounds.get("value"), bounds.get("code") or bounds.get("unit"))


def _span(value: Any, unit: Any) -> Span | None:
    length = _exact(value)
    unit = unit if unit in _DAYS else _UNITS.get(str(unit).rstrip("s"))
    if length is None or length <= 0 or unit is None:
        return None
    many = "" if length == 1 else "s"
    return Span(length * _DAYS[unit], f"{number(length)} {_NAMES[unit]}{many}")


def _exact(value: Any) -> Fraction | None:
    if value is None or isinstance(value, bool):
        return None
    try:
        return Fraction(str(value))
    except (ValueError, ZeroDivisionError):
        return None


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
