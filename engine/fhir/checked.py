"""The types that msgspec checks primitive values by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Annotated, Any, ClassVar

from msgspec import Meta

from engine.fhir import primitives

_SEEN = 20_000
_SEEN_LENGTH = 100

Accept = Callable[[Any], Any]
"""Return an instance of the type for a value that is one, else raise ValueError."""


class Checked:
    """Be the type of values that Python code checks; one subclass per primitive type."""

    accept: ClassVar[Accept]


class Moment(str):
    """Be the type of dateTime values, which keep their text for the invariants of Period."""

    __slots__ = ()
    accept: ClassVar[Accept]


def hook(kind: type[Checked] | type[Moment], value: Any) -> Any:
    """Answer msgspec for a type that it does not know."""
    return kind.accept(value)


def _remembering(check: Callable[[Any], bool], passed: Any) -> Accept:
    """Remember the texts that passed, within bounds: codes and systems are a small vocabulary."""
    seen: set[Any] = set()

    def accept(value: Any) -> Any:
        try:
            if value in seen:
                return passed
        except TypeError:
            pass
        if not check(value):
            raise ValueError("this is no value of its type")
        if len(value) <= _SEEN_LENGTH:
            if len(seen) >= _SEEN:
                seen.clear()
            seen.add(value)
        return passed

    return accept


def _plainly(check: Callable[[Any], bool], passed: Any) -> Accept:
    def accept(value: Any) -> Any:
        if not check(value):
            raise ValueError("this is no value of its type")
        return passed

    return accept


def _decimal(check: Callable[[Any], bool], passed: Any) -> Accept:
    def accept(value: Any) -> Any:
        if type(value) is int or isinstance(value, Decimal):
            return passed
        raise ValueError("this is no value of its type")

    return accept


def _timed(check: Callable[[Any], bool], passed: Any) -> Accept:
    """Take the usual full form in one step: a day seen before, and a time with its zone."""
    days, tail = primitives.DAYS, primitives.TAIL.fullmatch

    def accept(value: Any) -> Any:
        try:
            if value[:10] in days and tail(value, 10):
                return passed
        except TypeError:
            pass
        if not check(value):
            raise ValueError("this is no value of its type")
        return passed

    return accept


def _moment(value: Any) -> Moment:
    _is_date_time(value)
    return Moment(value)


_is_date_time = _timed(primitives.CHECKS["dateTime"], None)
Moment.accept = staticmethod(_moment)

_REMEMBERED = ("code", "uri", "canonical", "url", "oid", "date")
_ACCEPTING: Mapping[str, Callable[[Callable[[Any], bool], Any], Accept]] = {
    **dict.fromkeys(_REMEMBERED, _remembering),
    "decimal": _decimal,
    "dateTime": _timed,
    "instant": _timed,
}


def _checked(name: str) -> type[Checked]:
    found: type[Checked] = type(f"_Checked_{name}", (Checked,), {})
    accepting = _ACCEPTING.get(name, _plainly)
    found.accept = staticmethod(accepting(primitives.CHECKS[name], found()))
    return found


_TEXT = Annotated[str, Meta(min_length=1, max_length=primitives.MAX_STRING)]
_LIMIT = primitives.MAX_INTEGER
_BUILT_IN: Mapping[str, Any] = {
    "string": _TEXT,
    "markdown": _TEXT,
    "xhtml": Annotated[str, Meta(min_length=1)],
    "id": Annotated[str, Meta(pattern=rf"\A{primitives.ID}\Z")],
    "boolean": bool,
    "integer": Annotated[int, Meta(ge=-_LIMIT - 1, le=_LIMIT)],
    "unsignedInt": Annotated[int, Meta(ge=0, le=_LIMIT)],
    "positiveInt": Annotated[int, Meta(ge=1, le=_LIMIT)],
}
PRIMITIVES: Mapping[str, Any] = {
    name: _BUILT_IN.get(name) or _checked(name) for name in primitives.CHECKS
}
"""By primitive type: what a struct field of it is annotated with."""
