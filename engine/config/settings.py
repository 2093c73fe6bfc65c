"""How a setting is declared: once, with its kind, its default and its description."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, Protocol, TypeVar, cast

from engine.config.reading import Reading
from engine.document import Node

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Kind(Protocol[T_co]):
    """Read one kind of value; `label` says in words what it looks like."""

    @property
    def label(self) -> str: ...

    def read(self, node: Node, reading: Reading) -> T_co | None:
        """Return the value, or None after telling `reading` what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Describe one setting: `key` as in the file, `attribute` as in Python."""

    key: str
    attribute: str
    kind: Kind[Any]
    description: str
    required: bool
    default: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class _Declared:
    kind: Kind[Any]
    description: str
    key: str | None


def required(kind: Kind[T], description: str, *, key: str | None = None, secret: bool = False) -> T:
    """Declare a setting that every file must give; `key` where the file names it otherwise."""
    metadata = {"setting": _Declared(kind, description, key)}
    return cast(T, field(metadata=metadata, repr=not secret))


def optional(
    kind: Kind[T], description: str, default: T, *, key: str | None = None, secret: bool = False
) -> T:
    """Declare a setting with a default; a secret one is left out of the printed form."""
    metadata = {"setting": _Declared(kind, description, key)}
    return field(default_factory=lambda: default, metadata=metadata, repr=not secret)


def absent_or(kind: Kind[T], description: str, *, secret: bool = False) -> T | None:
    """Declare a setting that may be left out, and is then None."""
    return optional(cast(Kind[T | None], kind), description, None, secret=secret)


def settings_of(section: type[Any]) -> Iterator[Setting]:
    """Yield the settings that a section (a dataclass) declares, in order."""
    for declared in fields(section):
        if "setting" in declared.metadata:
            yield _setting(declared)


def _setting(declared: Field[Any]) -> Setting:
    said: _Declared = declared.metadata["setting"]
    factory = declared.default_factory
    if factory is MISSING:
        return _made(said, declared.name, required=True, default=lambda: None)
    return _made(said, declared.name, required=False, default=factory)


def _made(said: _Declared, name: str, *, required: bool, default: Callable[[], Any]) -> Setting:
    return Setting(said.key or name, name, said.kind, said.description, required, default)
