"""The checked intermediate form between a mapping and the code that it compiles to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from engine.diagnostics import Place
from engine.fhir.schema import Element
from engine.transform.mapping import Clause, Direction, MappingFile, Merging, Rule
from engine.transform.tables import Table

Version = Literal["R4", "R5"]


@dataclass(frozen=True, slots=True)
class End:
    """Hold one end of a step: a path within the block's object and the element at its end."""

    names: tuple[str, ...]
    element: Element

    @property
    def text(self) -> str:
        return ".".join(self.names)

    @property
    def name(self) -> str:
        return self.names[-1]


@dataclass(slots=True, eq=False)
class Step:
    """Hold one rule with both ends resolved; an end is absent where nothing stands there."""

    rule: Rule
    operation: str
    dialect: tuple[End, ...]
    canonical: tuple[End, ...]
    block: Block | None = None
    table: Table | None = None
    cases: tuple[Step, ...] = ()

    def source(self, direction: Direction) -> tuple[End, ...]:
        """Return the ends that are read in this direction."""
        return self.dialect if direction == "to_canonical" else self.canonical

    def target(self, direction: Direction) -> tuple[End, ...]:
        """Return the ends that are written in this direction."""
        return self.canonical if direction == "to_canonical" else self.dialect


@dataclass(slots=True, eq=False)
class Block:
    """Hold the steps of one object: its types and its paths (without indices) on both sides."""

    dialect_type: str
    canonical_type: str
    dialect_path: str
    canonical_path: str
    steps: list[Step] = field(default_factory=list)
    recursive: bool = False

    def type(self, direction: Direction) -> str:
        """Return the type of the object that is read in this direction."""
        return self.dialect_type if direction == "to_canonical" else self.canonical_type

    def path(self, direction: Direction) -> str:
        """Return the path of the object that is read in this direction."""
        return self.dialect_path if direction == "to_canonical" else self.canonical_path


@dataclass(frozen=True, slots=True)
class Value:
    """Hold a constant or default, ready to be written at an end."""

    end: End
    value: Any
    line: int


@dataclass(frozen=True, slots=True, eq=False)
class SiblingPlan:
    """Hold the checked declaration of siblings; `others` goes by canonical element.

    `same` gives canonical and dialect name of what makes resources siblings.
    """

    place: Place
    one: str
    by: tuple[str, ...]
    same: tuple[tuple[str, str], ...]
    others: Mapping[str, Merging]
    left: Clause | None
    ended: Clause | None
    until: tuple[str, ...]
    closing: Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Hold a whole checked mapping."""

    mapping: MappingFile
    root: Block
    constants: Mapping[Direction, tuple[Value, ...]]
    defaults: Mapping[Direction, tuple[Value, ...]]
    tables: Mapping[str, Table]
    siblings: SiblingPlan | None = None

    def version(self, direction: Direction) -> Version:
        """Return the FHIR version that is read in this direction."""
        side = self.mapping.dialect if direction == "to_canonical" else self.mapping.canonical
        return side.fhir
