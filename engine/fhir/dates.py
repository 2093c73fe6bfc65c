"""FHIR dates of any precision as intervals on one time line; no clock is read here.

An interval is `(start, end)` in microseconds since 1970-01-01T00:00:00Z, start included, end not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from engine.fhir.json import dumps, loads

Interval = tuple[int, int]

BEGINNING = -(2**62)
"""Stands for an open start."""
END = 2**62
"""Stands for an open end."""
ALWAYS: Interval = (BEGINNING, END)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_SECOND = 1_000_000
_SHAPE = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?"
    r"\s?([Zz]|[+-]\d\d:\d\d)?)?)?)?"
)
_STATED = re.compile(r'"(?<!\\")\d{4}[^"\\]*(?:\\.[^"\\]*)*"')


@lru_cache(maxsize=64)
def zone_named(name: str) -> tzinfo:
    """Return the time zone of an IANA name; KeyError or ValueError where there is none."""
    return UTC if name in ("UTC", "Z") else ZoneInfo(name)


@lru_cache(maxsize=8192)
def interval(text: str, zone: str = "UTC") -> Interval | None:
    """Return the interval that a FHIR date, dateTime or instant covers, or None for other text.

    `2026` is the whole year, `2026-05-01` the whole day in `zone` (23 or 25 hours where the clock
    changes), `2026-05-01T10:00:00Z` that second, a fraction its own length down to a microsecond.
    A leap second (`:60`) is the last of its minute, `24:00` the end of its day; a time without
    offset is read in `zone`. (http://hl7.org/fhir/R4/datatypes.html#dateTime)
    """
    found = _SHAPE.fullmatch(text)
    if found is None:
        return None
    try:
        return _interval(found.groups(), zone)
    except (ValueError, OverflowError):
        return None


def _interval(parts: tuple[str | None, ...], zone: str) -> Interval:
    year, month, day, hour = (int(part) if part else None for part in parts[:4])
    assert year is not None
    if hour is None:
        first = date(year, month or 1, day or 1)
        return _midnight(first, zone), _midnight(_following(first, month, day), zone)
    return _instant(parts, zone)


def _following(first: date, month: int | None, day: int | None) -> date | None:
    """Return the day after a year, month or day; None past the end of the calendar."""
    if day:
        return first + timedelta(days=1) if first < date.max else None
    year, after = (first.year, month + 1) if month and month < 12 else (first.year + 1, 1)
    return date(year, after, 1) if year <= 9999 else None


def _midnight(day: date | None, zone: str) -> int:
    if day is None:
        return END
    return _microseconds(datetime(day.year, day.month, day.day, tzinfo=zone_named(zone)))


def _instant(parts: tuple[str | None, ...], zone: str) -> Interval:
    year, month, day, hour, minute, second = (int(part) if part else 0 for part in parts[:6])
    fraction, offset = parts[6], parts[7]
    later = 0
    if hour == 24:
        if minute or second:
            raise ValueError("24:00 is the only time of hour 24")
        hour, later = 0, 1
    leap = second == 60
    stated = datetime(
        year, month, day, hour, minute, 59 if leap else second, tzinfo=_offset(offset, zone)
    )
    start = _microseconds(stated + timedelta(days=later))
    if parts[5] is None:
        return start, start + 60 * _SECOND
    if not fraction or leap:
        return start, start + _SECOND
    digits = fraction[:6]
    start += int(digits.ljust(6, "0"))
    return start, start + 10 ** (6 - len(digits))


def _offset(text: str | None, zone: str) -> tzinfo:
    if text is None:
        return zone_named(zone)
    if text in "Zz":
        return UTC
    hours, minutes = int(text[1:3]), int(text[4:6])
    if minutes > 59:
        raise ValueError("an offset has at most 59 minutes")
    return timezone((1 if text[0] == "+" else -1) * timedelta(hours=hours, minutes=minutes))


def _microseconds(stated: datetime) -> int:
    return (stated - _EPOCH) // _MICROSECOND


def period(given: Any, zone: str = "UTC") -> Interval | None:
    """Return the interval of a Period, or None where it cannot be read or ends before it starts.

    A missing start or end is open; an end covers the whole of what it names: a day to its last
    moment (http://hl7.org/fhir/R4/datatypes.html#Period). A bound that is there but says nothing
    (only an extension in `_end`, say) cannot be read.
    """
    if not isinstance(given, Mapping):
        return None
    bounds = []
    for name in ("start", "end"):
        stated = given.get(name)
        if stated is None:
            if given.get(f"_{name}"):
                return None
            bounds.append(ALWAYS)
            continue
        found = interval(stated, zone) if isinstance(stated, str) else None
        if found is None:
            return None
        bounds.append(found)
    start, end = bounds[0][0], bounds[1][1]
    return (start, end) if start < end else None


@lru_cache(maxsize=8192)
def moment(text: str, zone: str = "UTC") -> Interval | None:
    """Return the point of an instant, one microsecond long; for a date, all of it."""
    found = interval(text, zone)
    if found is None or "T" not in text.upper():
        return found
    return found[0], found[0] + 1


def dates_in(tree: Any) -> list[str]:
    """Return every text in a tree of JSON that starts with a year, dates of any kind among them.

    They are found in the text of the tree: much faster than looking at each of its parts.
    """
    found = _STATED.findall(dumps(tree).decode())
    return [loads(one.encode()) if "\\" in one else one[1:-1] for one in found]


def instants_in(tree: Any) -> Iterator[int]:
    """Yield where each time of day that stands anywhere in a tree of JSON begins and ends.

    Dates are left out: they turn at a midnight. A time without offset, which no FHIR date may be,
    turns nobody knows when: `BEGINNING` stands for it.
    """
    for text in dates_in(tree):
        found = _SHAPE.fullmatch(text)
        if found is not None and found[4]:
            yield from (interval(text) if found[8] else None) or ALWAYS


def covers(outer: Interval, inner: Interval) -> bool:
    """Tell whether the whole of `inner` lies in `outer`."""
    return outer[0] <= inner[0] and inner[1] <= outer[1]


def overlaps(one: Interval, other: Interval) -> bool:
    """Tell whether the two have a moment in common."""
    return one[0] < other[1] and other[0] < one[1]


@lru_cache(maxsize=8192)
def birthday(born: str, years: int, zone: str = "UTC") -> Interval | None:
    """Return the interval in which someone born on a date (or in a month, a year) turns `years`.

    Someone born on 29 February turns so on 28 February where the year has no 29th: rights of
    others over a child end at the earlier of the two days that laws know.
    """
    found = re.fullmatch(r"(\d{4})((?:-\d\d)?(?:-\d\d)?)", born)
    if found is None or interval(born, zone) is None:
        return None
    turned = f"{int(found[1]) + years:04}{found[2]}"
    return interval(turned, zone) or interval(turned.removesuffix("-29") + "-28", zone)
