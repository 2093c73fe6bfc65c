"""How much: quantities in UCUM units turned into numbers that can be compared."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

_ANNOTATION = re.compile(r"\{[^{}]*\}")
_WORDS = {
    "minute": "min", "minutes": "min", "mins": "min", "hour": "h", "hours": "h", "hr": "h",
    "hrs": "h", "day": "d", "days": "d", "week": "wk", "weeks": "wk", "month": "mo",
    "months": "mo", "milligram": "mg", "milligrams": "mg", "gram": "g", "grams": "g",
    "microgram": "ug", "micrograms": "ug", "mcg": "ug", "milliliter": "mL", "milliliters": "mL",
    "ml": "mL", "liter": "L", "liters": "L",
}  # fmt: skip
_COUNTED = ("", "1", "session", "sessions", "visit", "visits", "unit", "units")
_LONGEST_UNIT = 60
_CLOSE = 1e-6


@dataclass(frozen=True, slots=True)
class Amount:
    """Hold a quantity in base units of its dimension; two of one dimension can be compared."""

    value: float
    dimension: str
    said: str

    def comparable(self, other: Amount) -> bool:
        return self.dimension == other.dimension

    def agrees(self, other: Amount) -> bool:
        """Tell whether both are one amount; the caller asks `comparable` first."""
        largest = max(abs(self.value), abs(other.value))
        return abs(self.value - other.value) <= largest * _CLOSE

    def times(self, factor: float, said: str) -> Amount:
        """Return the amount so many times over, said in other words."""
        return Amount(self.value * factor, self.dimension, said)


def amount_of(quantity: Any) -> Amount | None:
    """Return what a Quantity says (http://hl7.org/fhir/R4/datatypes.html#Quantity), or None.

    A quantity with a comparator (`<5 mg`) is no amount. What UCUM does not know is compared only
    with the same words.
    """
    if not isinstance(quantity, Mapping) or quantity.get("comparator"):
        return None
    try:
        value = float(str(quantity["value"]))
    except (KeyError, ValueError):
        return None
    unit = str(quantity.get("code") or quantity.get("unit") or "").strip()
    shown = str(quantity.get("unit") or quantity.get("code") or "").strip()
    factor, dimension = _unit(unit)
    said = " ".join(f"{_written(value)} {shown[:_LONGEST_UNIT]}".split())
    return Amount(value * factor, dimension, said)


def _written(value: float) -> str:
    return f"{value:g}"


@lru_cache(maxsize=4096)
def _unit(text: str) -> tuple[float, str]:
    """Return factor to base units and dimension of a unit; bounded, since messages bring units."""
    word = text.casefold()
    if word in _COUNTED:
        return 1.0, "count"
    text = _WORDS.get(word, text)
    if len(text) > _LONGEST_UNIT or _ANNOTATION.fullmatch(text):
        return 1.0, f"unit {text[:_LONGEST_UNIT].strip('{}').casefold().removesuffix('s')}"
    try:
        base = _registry().from_ucum(_ANNOTATION.sub("", text)).to_base_units()
        factor, dimension = float(base.magnitude), dict(base.dimensionality)
    except Exception:  # whatever the library raises over text that is no unit
        return 1.0, f"unit {text.casefold().removesuffix('s')}"
    if not dimension:  # arbitrary units such as [iU] compare only with themselves
        return factor, f"unit {text}"
    return factor, str(sorted((str(name), float(power)) for name, power in dimension.items()))


@cache
def _registry() -> Any:
    """Return the library's table of UCUM units; it takes seconds to build, so only when asked."""
    from ucumvert import PintUcumRegistry  # noqa: PLC0415

    return PintUcumRegistry()
