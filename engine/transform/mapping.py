"""What an analyst wrote, as a typed tree in which everything remembers its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from engine.diagnostics import Place
from engine.document import Node
from engine.transform.selectors import Condition

Direction = Literal["to_canonical", "to_dialect"]
DIRECTIONS: tuple[Direction, Direction] = ("to_canonical", "to_dialect")

OPERATIONS: frozenset[str,] = frozenset(
    [
        "copy",
        "fields",
        "table",
        "coding",
        "ref",
        "identifier",
        "carry",
        "drop",
        "cross_version",
        "split",
        "function",
        "expression",
    ]
)
"""What a field can do; every field does exactly one."""


def other(direction: Direction) -> Direction:
    """Return the way back."""
    return "to_dialect" if direction == "to_canonical" else "to_canonical"


@dataclass(frozen=True, slots=True)
class Path:
    """Hold a dotted path as it was written; `each` says that it ended in `[]`."""

    names: tuple[str, ...]
    each: bool
    place: Place

    @property
    def text(self) -> str:
        return ".".join(self.names) + ("[]" if self.each else "")


@dataclass(frozen=True, slots=True)
class Name:
    """Hold a name that points to something, with its place."""

    text: str
    place: Place


@dataclass(frozen=True, slots=True)
class Fate:
    """Say what becomes of values that a rule does not take."""

    kind: Literal["carry", "drop", "reject", "copy"]
    reason: str
    place: Place


@dataclass(frozen=True, slots=True)
class Miss:
    """Say what becomes of a code that the table does not know; `default` is a coding or code."""

    kind: Literal["reject", "keep-source", "text-only", "default"]
    place: Place
    default: Mapping[str, str] | str | None = None


@dataclass(frozen=True, slots=True)
class Expression:
    """Hold one direction's FHIRPath."""

    text: str
    place: Place


@dataclass(frozen=True, slots=True)
class Rule:
    """Hold one field: where from, where to, and what is done on the way.

    Only the options that belong to `operation` are filled. `path` is None for a case of a split,
    and for `canonical_only` it is the canonical path.
    """

    path: Path
    operation: str
    place: Place
    to: tuple[Path, ...] = ()
    fields: tuple[Rule, ...] = ()
    same: bool = False
    table: Name | None = None
    on_miss: Mapping[Direction, Miss] = field(default_factory=dict)
    keep_source: bool = True
    only: Direction | None = None
    targets: tuple[Name, ...] = ()
    systems: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""
    url: Name | None = None
    cases: tuple[Rule, ...] = ()
    take: Name | None = None
    function: Name | None = None
    with_: tuple[Path, ...] = ()
    arguments: Mapping[str, str] = field(default_factory=dict)
    expressions: Mapping[Direction, Expression] = field(default_factory=dict)
    first: bool = False
    rest: Fate | None = None
    when: Condition | None = None
    when_place: Place | None = None
    otherwise: Fate | None = None


@dataclass(frozen=True, slots=True)
class Side:
    """Name what one side of a mapping holds."""

    fhir: Literal["R4", "R5"]
    resource: str
    profile: Name | None
    place: Place


@dataclass(frozen=True, slots=True)
class Fixed:
    """Hold a value that one direction writes by itself."""

    path: Path
    value: Node


MERGING: tuple[str, ...] = ("agree", "common", "union", "collect", "own", "widest", "labels")
"""How an element of siblings becomes one of the whole; beside these, `{first: [codes]}`."""


@dataclass(frozen=True, slots=True)
class Merging:
    """Say what becomes of one element where siblings become a whole; `codes` are those of first."""

    path: Path
    word: str
    place: Place
    codes: tuple[Name, ...] = ()


@dataclass(frozen=True, slots=True)
class Clause:
    """Hold a condition about one sibling, with its place."""

    condition: Condition
    place: Place


@dataclass(frozen=True, slots=True)
class SiblingRule:
    """Hold what a mapping says of resources that are siblings; all names are canonical ones.

    One resource holds one item of `one`, `by` names what an item is known by, `same` what makes
    resources siblings, `others` what becomes of everything else. `left` and `ended` tell of which
    siblings the item stands no longer, `until` where an item says so; `closing` is written to a
    sibling whose item left.
    """

    place: Place
    one: Path
    by: tuple[Path, ...]
    same: tuple[Path, ...]
    others_place: Place
    others: tuple[Merging, ...]
    left: Clause | None = None
    ended: Clause | None = None
    until: Path | None = None
    closing: tuple[Fixed, ...] = ()


@dataclass(frozen=True, slots=True)
class Policies:
    """Say what becomes of what any element may hold beside its own children.

    `unmapped` names elements that FHIR does not have and that pass, where all others are refused.
    """

    on_unmapped: Literal["reject", "carry"]
    extension: Fate | None
    modifier: Fate | None
    primitive: Fate | None
    unmapped: tuple[tuple[Path, Fate], ...] = ()


@dataclass(frozen=True, slots=True)
class MappingFile:
    """Hold one whole mapping file, with what it extends merged in."""

    name: str
    version: int
    description: str
    place: Place
    dialect: Side
    canonical: Side
    policies: Policies
    fields_place: Place
    fields: tuple[Rule, ...]
    canonical_only: tuple[Rule, ...]
    constants: Mapping[Direction, tuple[Fixed, ...]]
    defaults: Mapping[Direction, tuple[Fixed, ...]]
    normalise: frozenset[str] = frozenset()
    siblings: SiblingRule | None = None
