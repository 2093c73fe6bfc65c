"""The types that msgspec checks primitive values by."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Annotated, Any

from msgspec import Meta

from engine.fhir import primitives

_SEEN = 20_000
_SEEN_LENGTH = 100

Answer = Callable[[Any], Any]
"""Return an instance of the type for a value that is one, else raise ValueError."""


class Checked:
    """Be the type of values that Python code checks; one subclass per primitive type."""


class Moment(str):
    """Be the type of dateTime values, which keep their text for the invariants of Period."""

    __slots__ = ()


hook: Any = operator.getitem
"""Answer msgspec for a type that it does not know: `kind[value]` is an instance of the type."""


class _Seen(dict[Any, Any]):
    """Remember the texts that passed, within bounds: codes and systems are a small vocabulary.

    Looking one up takes no step of Python.
    """

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self._answer = answer

    def __missing__(self, value: Any) -> Any:
        passed = self._answer(value)
        if len(value) <= _SEEN_LENGTH:
            if len(self) >= _SEEN:
                self.clear()
            self[value] = passed
        return passed


def _answering(kind: type, answer: Answer) -> Any:
    """Return a subclass of `kind` that answers for its values."""
    asked = type(f"{kind.__name__}Type", (type,), {"__getitem__": staticmethod(answer)})
    return asked(kind.__name__, (kind,), {})


_REMEMBERED = frozenset({"code", "uri", "canonical", "url", "oid", "date", "dateTime", "instant"})


def _checked(name: str) -> Any:
    check = primitives.CHECKS[name]

    def answer(value: Any) -> Any:
        if not check(value):
            raise ValueError("this is no value of its type")
        return passed

    def decimal(value: Any) -> Any:
        if type(value) is int or isinstance(value, Decimal):
            return passed
        raise ValueError("this is no value of its type")

    plain = decimal if name == "decimal" else answer
    found = _answering(Checked, _Seen(plain).__getitem__ if name in _REMEMBERED else plain)
    passed = found()
    return found


def _moment(value: Any) -> Any:
    if not primitives.CHECKS["dateTime"](value):
        raise ValueError("this is no value of its type")
    return MOMENT(value)


MOMENT: Any = _answering(Moment, _Seen(_moment).__getitem__)
"""The Moment that msgspec asks for."""

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
