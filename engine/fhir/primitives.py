"""What the text of each primitive type may be (http://hl7.org/fhir/R4/datatypes.html)."""

from __future__ import annotations

import binascii
import calendar
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any

MAX_STRING = 1_048_576
MAX_INTEGER = 2_147_483_647

_YEAR = r"(?!0000)[0-9]{4}"
_MONTH = r"(?:0[1-9]|1[0-2])"
_DAY = r"(?:0[1-9]|[12][0-9]|3[01])"
_CLOCK = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]{1,30})?"
_ZONE = r"(?:Z|[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00))"

_DATE = re.compile(f"{_YEAR}(?:-{_MONTH}(?:-{_DAY})?)?")
_TIME = re.compile(_CLOCK)
ID = r"[A-Za-z0-9\-.]{1,64}"
_ID = re.compile(ID)
_CODE = re.compile(r"\S+(?:\s\S+)*")
_URI = re.compile(r"\S+")
_OID = re.compile(r"urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*))+")
_UUID = re.compile(r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_INTEGER_64 = re.compile(r"0|-?[1-9][0-9]{0,18}")
_SPACES = {ord(space): None for space in " \t\r\n"}


def _text(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_STRING


def _xhtml(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _boolean(value: Any) -> bool:
    return isinstance(value, bool)


def _decimal(value: Any) -> bool:
    return isinstance(value, Decimal) or type(value) is int


def _within(low: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and low <= value <= MAX_INTEGER


def _like(pattern: re.Pattern[str]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None


TAIL = re.compile(f"T{_CLOCK}{_ZONE}")
DAYS: set[str] = set()
_MOST_DAYS = 100_000


def _is_day(text: str) -> bool:
    """Tell whether text is a date; dates are few, so they are remembered within bounds."""
    if text in DAYS:
        return True
    if _DATE.fullmatch(text) is None or not (text[8:] <= "28" or _on_calendar(text)):
        return False
    if len(DAYS) >= _MOST_DAYS:
        DAYS.clear()
    DAYS.add(text)
    return True


def _date(value: Any) -> bool:
    return isinstance(value, str) and _is_day(value)


def _date_time(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    if value[:10] in DAYS or _is_day(value[:10]):
        return len(value) <= 10 or TAIL.fullmatch(value, 10) is not None
    return False


def _instant(value: Any) -> bool:
    return isinstance(value, str) and len(value) > 10 and value[4:5] == "-" and _date_time(value)


def _on_calendar(value: str) -> bool:
    year, month, day = int(value[:4]), int(value[5:7]), int(value[8:10])
    return day <= calendar.monthrange(year, month)[1]


def _base64(value: Any) -> bool:
    if not isinstance(value, str) or not value:
        return False
    try:
        return bool(binascii.a2b_base64(value.translate(_SPACES), strict_mode=True))
    except ValueError:
        return False


CHECKS: Mapping[str, Callable[[Any], bool]] = MappingProxyType(
    {
        "base64Binary": _base64,
        "boolean": _boolean,
        "canonical": _like(_URI),
        "code": _like(_CODE),
        "date": _date,
        "dateTime": _date_time,
        "decimal": _decimal,
        "id": _like(_ID),
        "instant": _instant,
        "integer": _within(-MAX_INTEGER - 1),
        "integer64": _like(_INTEGER_64),
        "markdown": _text,
        "oid": _like(_OID),
        "positiveInt": _within(1),
        "string": _text,
        "time": _like(_TIME),
        "unsignedInt": _within(0),
        "uri": _like(_URI),
        "url": _like(_URI),
        "uuid": _like(_UUID),
        "xhtml": _xhtml,
    }
)
"""By primitive type: whether a value of the tree is one of that type."""

EXPECTED: Mapping[str, str] = MappingProxyType(
    {
        "base64Binary": "text in base64",
        "boolean": "true or false",
        "canonical": "a URL without spaces, perhaps with |version",
        "code": "text without spaces at its ends, and only single spaces inside",
        "date": "a calendar date: YYYY, YYYY-MM or YYYY-MM-DD",
        "dateTime": "YYYY, YYYY-MM, YYYY-MM-DD, or YYYY-MM-DDThh:mm:ss with Z or an offset",
        "decimal": "a number",
        "id": "1 to 64 letters, digits, '-' and '.'",
        "instant": "YYYY-MM-DDThh:mm:ss with Z or an offset",
        "integer": "a whole number of 32 bits",
        "integer64": "a whole number of 64 bits, written as text",
        "markdown": "text that is not empty",
        "oid": "urn:oid: and numbers with dots",
        "positiveInt": "a whole number from 1",
        "string": f"text that is not empty, at most {MAX_STRING} characters",
        "time": "hh:mm:ss",
        "unsignedInt": "a whole number from 0",
        "uri": "a URI without spaces",
        "url": "a URL without spaces",
        "uuid": "urn:uuid: and a UUID in lower case",
        "xhtml": "XHTML as text",
    }
)
"""By primitive type: what is expected, for people."""
