"""What a registered function is: a pair of reviewed halves that a mapping may name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Values = dict[str, Any]
Arguments = Mapping[str, str]
Half = Callable[[Values, Arguments], Values]
Settled = Callable[[Values, Arguments], bool]


def _never(values: Values, arguments: Arguments) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Pair:
    """Hold both halves of a function.

    Each half takes what is present of the elements on its own side by name (with `_name`
    siblings) and returns the other side's; it never changes what it is given. Where the way back
    would not restore the original, the adapter remembers the original, so a half may lose. With
    `absent` the halves are asked also where nothing is there: lists come as empty lists. With
    `modifiers` they see to modifier extensions themselves; else the mapping's policy does.
    `settled` may tell quickly of values that either half would return them just as they are.
    `needs` are the arguments without which it cannot be used, `takes` those that it knows beside.
    """

    name: str
    about: str
    to_canonical: Half
    to_dialect: Half
    absent: bool = False
    modifiers: bool = False
    settled: Settled = _never
    needs: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
