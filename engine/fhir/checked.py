"""The types that msgspec checks primitive values by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar

from msgspec import Meta

from engine.fhir import primitives

_SEEN = 20_000
_SEEN_LENGTH = 100


class Checked:
    """Be the type of values that Python code checks; one subclass per primitive type.

    Codes and systems come from a small vocabulary, so texts that passed are remembered, within
    bounds; what is likely to be of one patient (an instant, an id) is not.
    """

    seen: ClassVar[set[Any]] = set()
    remembers: ClassVar[bool] = False
    passed: ClassVar[Any] = None
    check: ClassVar[Callable[[Any], bool]]


class Moment:
    """Be the type of dateTime values, which keep their text for the invariants of Period."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


_is_moment = primitives.CHECKS["dateTime"]
_REMEMBERED = frozenset({"code", "uri", "canonical", "url", "oid", "date"})


def _checked(name: str) -> type[Checked]:
    found: type[Checked] = type(
        f"_Checked_{name}",
        (Checked,),
        {
            "seen": set(),
            "remembers": name in _REMEMBERED,
            "check": staticmethod(primitives.CHECKS[name]),
        },
    )
    found.passed = found()
    return found


def hook(kind: Any, value: Any) -> Any:
    if kind is Moment:
        if not _is_moment(value):
            raise ValueError("this is no value of its type")
        return Moment(value)
    try:
        if value in kind.seen:
            return kind.passed
    except TypeError:
        pass
    if not kind.check(value):
        raise ValueError("this is no value of its type")
    if kind.remembers and len(value) <= _SEEN_LENGTH:
        if len(kind.seen) >= _SEEN:
            kind.seen.clear()
        kind.seen.add(value)
    return kind.passed


_TEXT = Annotated[str, Meta(min_length=1, max_length=primitives.MAX_STRING)]
_LIMIT = primitives.MAX_INTEGER
_BUILT_IN: Mapping[str, Any] = {
    "string": _TEXT,
    "markdown": _TEXT,
    "xhtml": Annotated[str, Meta(min_length=1)],
    "boolean": bool,
    "integer": Annotated[int, Meta(ge=-_LIMIT - 1, le=_LIMIT)],
    "unsignedInt": Annotated[int, Meta(ge=0, le=_LIMIT)],
    "positiveInt": Annotated[int, Meta(ge=1, le=_LIMIT)],
}
PRIMITIVES: Mapping[str, Any] = {
    name: _BUILT_IN.get(name) or _checked(name) for name in primitives.CHECKS
}
