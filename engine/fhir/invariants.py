"""Invariants of the base specification that rest on which elements are there together."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

Has = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Together:
    """State which elements of one type must, or must not, stand together.

    "requires": where the first is, one of the others must be. "excludes": at most one of them.
    "any": at least one of them. "one": exactly one of them.
    """

    key: str
    type: str
    how: Literal["requires", "excludes", "any", "one"]
    names: tuple[str, ...]
    expected: str

    def holds(self, has: Has) -> bool:
        """Tell whether the invariant holds, given which elements are there."""
        if self.how == "requires":
            return not has(self.names[0]) or any(map(has, self.names[1:]))
        there = sum(map(has, self.names))
        return {"excludes": there <= 1, "any": there >= 1, "one": there == 1}[self.how]


def _with_code(name: str) -> Together:
    return Together("qty-3", name, "requires", ("code", "system"), "a system beside the code")


INVARIANTS: tuple[Together, ...] = (
    Together("att-1", "Attachment", "requires", ("data", "contentType"), "a contentType"),
    Together("cpl-3", "CarePlan.activity", "excludes", ("detail", "reference"), "one of the two"),
    Together("cpt-2", "ContactPoint", "requires", ("value", "system"), "a system"),
    Together(
        "pat-1",
        "Patient.contact",
        "any",
        ("name", "telecom", "address", "organization"),
        "a name, telecom, address or organization",
    ),
    Together("org-1", "Organization", "any", ("identifier", "name"), "an identifier or a name"),
    *map(_with_code, ("Quantity", "Age", "Count", "Distance", "Duration")),
)
"""Source: the constraints of http://hl7.org/fhir/R4/datatypes.html and of each resource."""

BY_TYPE: dict[str, tuple[Together, ...]] = {}
for _invariant in INVARIANTS:
    BY_TYPE[_invariant.type] = (*BY_TYPE.get(_invariant.type, ()), _invariant)

_FRACTION = re.compile(r"\.(\d{1,6})\d*")


def ends_before_start(start: str, end: str) -> bool:
    """Tell whether a period certainly ends before it starts (per-1).

    Dates of different precision are compared as far as both go; a date beside a time with a zone
    gets a day's grace, since the date names no zone.
    """
    if start <= end and len(start) == len(end) and start[-6:] == end[-6:]:
        return False
    if len(start) > 10 and len(end) > 10:
        return _instant(start) > _instant(end)
    if len(start) > 10 or len(end) > 10:
        if min(len(start), len(end)) < 10:
            return start[:4] > end[:4]
        return _day(start) - _day(end) > timedelta(days=1)
    shorter = min(len(start), len(end))
    return start[:shorter] > end[:shorter]


def _day(text: str) -> datetime:
    return datetime.fromisoformat(f"{text[:10]}T00:00:00+00:00")


def _instant(text: str) -> datetime:
    whole = _FRACTION.sub(lambda found: "." + found[1].ljust(6, "0"), text)
    return datetime.fromisoformat(whole.replace(":60", ":59").replace("Z", "+00:00"))
