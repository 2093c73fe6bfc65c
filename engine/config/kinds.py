"""The kinds of value a setting can have: text, numbers, names, and lists and sections of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from engine.config.reading import Reading
from engine.config.settings import Kind, settings_of
from engine.diagnostics import Place
from engine.document import Node

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Text:
    """Read a text, of the form `pattern` where one is given (then `label` says it in words)."""

    label: str = "text"
    pattern: str = r"(?s).*\S.*"

    def read(self, node: Node, reading: Reading) -> str | None:
        scalar = reading.scalar(node, self.label)
        if scalar is None:
            return None
        if not isinstance(scalar.value, str) or not re.fullmatch(self.pattern, scalar.value):
            reading.problem(
                "C103", f"{_start(scalar.shown)} is not {self.label}.", node.place,
                expected=self.label,
                remedy=None if isinstance(scalar.value, str) else "put it in quotes.",
            )  # fmt: skip
            return None
        return scalar.value


@dataclass(frozen=True, slots=True)
class Secret:
    """Read a secret, which only the environment may hold; its value is never printed."""

    label: str
    pattern: str
    remedy: str

    def read(self, node: Node, reading: Reading) -> str | None:
        value = reading.secret(node, self.label, self.remedy)
        if value is not None and not re.fullmatch(self.pattern, value):
            reading.problem(
                "C110", "The secret in this variable has the wrong form.", node.place,
                expected=self.label,
                remedy=self.remedy,
            )  # fmt: skip
            return None
        return value


@dataclass(frozen=True, slots=True)
class Whole:
    """Read a whole number from `least` to `most`."""

    least: int
    most: int

    @property
    def label(self) -> str:
        return f"a whole number from {self.least} to {self.most}"

    def read(self, node: Node, reading: Reading) -> int | None:
        scalar = reading.scalar(node, self.label)
        if scalar is None:
            return None
        if not isinstance(scalar.value, int) or isinstance(scalar.value, bool):
            reading.wrong_kind(node, self.label)
            return None
        if not self.least <= scalar.value <= self.most:
            said = f"{_start(scalar.shown)} is out of range."
            reading.problem("C104", said, node.place, expected=self.label)
            return None
        return scalar.value


@dataclass(frozen=True, slots=True)
class Number:
    """Read a number, with or without a fraction, from `least` to `most`; `unit` is for readers."""

    least: float
    most: float
    unit: str = ""

    @property
    def label(self) -> str:
        unit = f" ({self.unit})" if self.unit else ""
        return f"a number from {self.least:g} to {self.most:g}{unit}"

    def read(self, node: Node, reading: Reading) -> float | None:
        scalar = reading.scalar(node, self.label)
        if scalar is None:
            return None
        number = _decimal(scalar.value)
        if number is None:
            reading.wrong_kind(node, self.label)
            return None
        if not self.least <= number <= self.most:
            said = f"{_start(scalar.shown)} is out of range."
            reading.problem("C104", said, node.place, expected=self.label)
            return None
        return float(number)


@dataclass(frozen=True, slots=True)
class Truth:
    """Read `true` or `false`."""

    label: str = "`true` or `false`"

    def read(self, node: Node, reading: Reading) -> bool | None:
        scalar = reading.scalar(node, self.label)
        if scalar is None:
            return None
        if isinstance(scalar.value, bool):
            return scalar.value
        reading.wrong_kind(node, self.label)
        return None


@dataclass(frozen=True, slots=True)
class Choice:
    """Read one of a few words."""

    options: tuple[str, ...]

    @property
    def label(self) -> str:
        return " or ".join(f"`{option}`" for option in self.options)

    def read(self, node: Node, reading: Reading) -> str | None:
        scalar = reading.scalar(node, self.label)
        if scalar is None:
            return None
        if scalar.value not in self.options:
            name = str(node.value)
            reading.unknown("C105", name, "choice here", self.options, node.place)
            return None
        return str(scalar.value)


@dataclass(frozen=True, slots=True)
class Listed(Generic[T]):
    """Read a list, or one value where the list would have a single one."""

    item: Kind[T]

    @property
    def label(self) -> str:
        return f"a list: {self.item.label}"

    def read(self, node: Node, reading: Reading) -> tuple[T, ...] | None:
        nodes = node.value if isinstance(node.value, list) else [node]
        values = [self.item.read(each, reading) for each in nodes]
        kept = tuple(value for value in values if value is not None)
        return kept if len(kept) == len(values) else None


@dataclass(frozen=True, slots=True)
class Named(Generic[T]):
    """Read a mapping from names (of the form `pattern`) to values of one kind."""

    item: Kind[T]
    name: str
    pattern: str = r"[a-z][a-z0-9-]{0,39}"

    @property
    def label(self) -> str:
        return f"a mapping from {self.name} to {self.item.label}"

    def read(self, node: Node, reading: Reading) -> Mapping[str, T] | None:
        if not node.is_map:
            reading.wrong_kind(node, self.label)
            return None
        pairs = [(key, self._one(key, place, item, reading)) for key, place, item in node.items()]
        kept = {key: value for key, value in pairs if value is not None}
        return MappingProxyType(kept) if len(kept) == len(pairs) else None

    def _one(self, key: str, place: Place, item: Node, reading: Reading) -> T | None:
        if not re.fullmatch(self.pattern, key):
            reading.problem(
                "C106", f"'{key}' cannot be {self.name}.", place,
                expected="a lower-case letter, then up to 39 letters, digits or '-'",
            )  # fmt: skip
            self.item.read(item, reading)
            return None
        return self.item.read(item, reading)


@dataclass(frozen=True, slots=True)
class Section(Generic[T]):
    """Read a mapping whose keys are the settings of a dataclass."""

    of: type[T]

    @property
    def label(self) -> str:
        return "a section"

    def read(self, node: Node, reading: Reading) -> T | None:
        if not node.is_map:
            reading.wrong_kind(node, "a mapping of settings")
            return None
        settings = {setting.key: setting for setting in settings_of(self.of)}
        for key, place, _ in node.items():
            if key not in settings:
                reading.unknown("C101", key, "setting here", settings, place)
        before = len(reading.problems)
        values: dict[str, Any] = {}
        for setting in settings.values():
            given = node.get(setting.key)
            if given is not None and given.value is not None:
                value = setting.kind.read(given, reading)
                values[setting.attribute] = setting.default() if value is None else value
            elif setting.required:
                said = f"The setting '{setting.key}' is missing."
                reading.problem("C102", said, node.place, expected=setting.kind.label)
        if any(problem.severity == "error" for problem in reading.problems[before:]):
            return None
        return self.of(**values)


class Tree(Mapping[str, Any]):
    """Hold a mapping that another room reads, as plain values that remember their place."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self._plain: dict[str, Any] = node.plain()

    @property
    def place(self) -> Place:
        return self.node.place

    def place_of(self, key: str) -> Place:
        """Return where `key` stands, or where the mapping starts."""
        return self.node.keys.get(key, self.node.place)

    def __getitem__(self, key: str) -> Any:
        return self._plain[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._plain)

    def __len__(self) -> int:
        return len(self._plain)

    def __repr__(self) -> str:
        return f"Tree({self._plain!r})"


@dataclass(frozen=True, slots=True)
class Subtree:
    """Read a mapping as it is; the room that it belongs to reads and checks it."""

    label: str

    def read(self, node: Node, reading: Reading) -> Tree | None:
        if not node.is_map:
            reading.wrong_kind(node, self.label)
            return None
        return Tree(node)


def _decimal(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    try:
        number = Decimal(value)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _start(shown: str) -> str:
    return shown[0].upper() + shown[1:]
