"""One resource on its way through one adapter: what it collects, and how its references change."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from engine.diagnostics import Diagnostic, Place, Severity
from engine.fhir.references import is_pointer, is_reference
from engine.fhir.schema import Element, schema
from engine.transform.cross_version import Codecs
from engine.transform.functions import Pair
from engine.transform.mapping import Direction, Fate
from engine.transform.plan import End
from engine.transform.references import Crosswalk, Unresolved, is_local

Tree = dict[str, Any]
Spec = tuple[Any, ...]
"""Where something stands: the spec around it or None, a pattern with `[]`, then list and item
for each `[]`. It becomes a path only when somebody complains."""

Restored = dict[str, Any]
NOTHING: Restored = {}
BESIDE = ("extension", "modifierExtension")


Stands = dict[int, tuple[Any, dict[int, int]]]
"""By the id of each list that a path led through: the list, and where each item first stands."""


def path_of(spec: Spec, stands: Stands) -> str:
    """Return the path that a spec stands for, with the index of each item.

    `stands` is filled on the way: of a long list each item may have a complaint.
    """
    around, pattern, *pairs = spec
    out = path_of(around, stands) if around is not None else ""
    if not pairs:
        return f"{out}{pattern}"
    parts = str(pattern).split("[]")
    for index, part in enumerate(parts):
        out += part
        if index < len(parts) - 1 and 2 * index + 1 < len(pairs):
            out += f"[{_index(pairs[2 * index], pairs[2 * index + 1], stands)}]"
    return out


def _index(items: Any, item: Any, stands: Stands) -> int:
    if id(items) not in stands:
        places: dict[int, int] = {}
        for index, one in enumerate(items):
            places.setdefault(id(one), index)
        stands[id(items)] = items, places
    return stands[id(items)][1].get(id(item), 0)


def put(out: Tree, names: tuple[str, ...], value: Any) -> None:
    """Write a value at a path, making the objects on the way."""
    for name in names[:-1]:
        out = out.setdefault(name, {})
    out[names[-1]] = value


def take(tree: Tree, names: tuple[str, ...]) -> Any:
    """Return the value at a path, or None."""
    value: Any = tree
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def copied(tree: Any) -> Any:
    """Return a deep copy of plain data."""
    if isinstance(tree, dict):
        return {key: copied(value) for key, value in tree.items()}
    return [copied(item) for item in tree] if isinstance(tree, list) else tree


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """Hold what may stand in one kind of object beside what the generated code reads itself."""

    place: Place
    plain: frozenset[str]
    primitives: Mapping[str, tuple[str, ...] | None]
    known: frozenset[str]
    extension: Fate
    modifier: Fate
    primitive: Fate
    carries_unmapped: bool
    unmapped: Mapping[str, Fate]
    restores: Mapping[str, tuple[str, ...]]
    cross: Mapping[str, list[tuple[Element, tuple[str, ...]]]]


Side = tuple[str, tuple[str, ...], str]
"""Name and path of a value that a function reads or writes, and the text of its end."""


def sides(ends: tuple[End, ...]) -> tuple[Side, ...]:
    """Return how the values at some ends are called and found, each with its `_name` sibling."""
    names = [((*end.names[:-1], name), end) for end in ends for name in (end.name, f"_{end.name}")]
    return tuple((".".join(path), path, end.text) for path, end in names)


@dataclass(frozen=True, eq=False)
class Task:
    """Hold what a rare step needs at run time: its ends by name, its place, its function.

    `reads` and `writes` are the sides of a function; `holds` says whether a reference may stand
    in what it writes, extensions left aside.
    """

    place: Place
    source: tuple[End, ...]
    target: tuple[End, ...]
    reads: tuple[Side, ...] = ()
    writes: tuple[Side, ...] = ()
    holds: bool = True
    pair: Pair | None = None
    arguments: Mapping[str, str] = field(default_factory=dict)
    expression: str = ""
    url: str = ""

    @cached_property
    def stays(self) -> bool:
        """Tell whether a function writes what it reads."""
        return self.reads == self.writes

    @cached_property
    def nothing_read(self) -> Mapping[str, Any]:
        """Return the empty lists that a function is asked with where nothing is there."""
        return self._nothing(self.source)

    @cached_property
    def nothing_written(self) -> Mapping[str, Any]:
        """Return the same for the way back."""
        return self._nothing(self.target)

    def _nothing(self, ends: tuple[End, ...]) -> dict[str, Any]:
        if self.pair is None or not self.pair.absent:
            return {}
        return {end.text: [] for end in ends if end.element.is_list}


class Journey:
    """Collect diagnostics and unresolved references, and take references across.

    `deep` says that references change on the way, `far` that extensions may hold some, `foreign`
    that another dialect wrote what is brought to this one. `crossed` tells, by the types that a
    reference may point to, what literals became that decided alone: generated code looks there
    first. `kept` stays true as long as what no step writes itself is as it was, but for where
    references point.
    """

    __slots__ = (
        "codecs",
        "crossed",
        "deep",
        "diagnostics",
        "direction",
        "far",
        "foreign",
        "kept",
        "mapping",
        "pointing",
        "stands",
        "unresolved",
        "way",
    )

    def __init__(
        self,
        mapping: str,
        direction: Direction,
        crosswalk: Crosswalk,
        deep: bool,
        codecs: Codecs,
        far: bool = True,
    ) -> None:
        self.mapping = mapping
        self.direction = direction
        is_in = direction == "to_canonical"
        self.way = crosswalk.to_canonical if is_in else crosswalk.to_dialect
        self.pointing = crosswalk.literal_to_canonical if is_in else crosswalk.literal_to_dialect
        self.deep = deep
        self.far = far
        self.foreign = False
        self.kept = True
        self.codecs = codecs
        self.crossed: dict[frozenset[str], dict[Any, str]] = defaultdict(dict)
        self.diagnostics: list[Diagnostic] = []
        self.unresolved: list[Unresolved] = []
        self.stands: Stands = {}

    def note(
        self,
        code: str,
        message: str,
        spec: Spec,
        place: Place | None,
        stops: bool = True,
        remedy: str | None = None,
        table: str | None = None,
    ) -> None:
        """Add a diagnostic; `stops` makes it an error."""
        severity = Severity.ERROR if stops else Severity.INFORMATION
        if code == "T004":
            severity = Severity.WARNING
        path = path_of(spec, self.stands)
        self.diagnostics.append(
            Diagnostic(code, message, severity, place, path, remedy=remedy, table=table)
        )

    def reference(self, reference: Tree, targets: frozenset[str], spec: Spec, place: Place) -> Tree:
        """Take one reference through the crosswalk, noting a type that does not belong there."""
        literal = reference.get("reference")
        bare = BARE.issuperset(reference)
        fits = not targets or (literal is not None and literal.partition("/")[0] in targets)
        if not fits:
            self.unfitting(reference, targets, spec, place)
        if not self.deep or is_local(reference):
            return reference
        if bare and fits and literal is not None and (known := self.pointing(literal)):
            self.crossed[targets][literal] = known
            return {**reference, "reference": known}
        if not bare:
            reference = self.within(reference, spec)
        found = self.way(reference, targets)
        if isinstance(found, Unresolved):
            self.unresolved.append(found.at(path_of(spec, self.stands)))
            said = f"The crosswalk does not know this reference: {found.reason}"
            self.note("K001", said, spec, None)
            return reference
        literal_now = found.get("reference")
        if bare and is_pointer(literal_now) and _stands_alike(found, reference):
            if fits:
                self.crossed[targets][literal] = literal_now
        elif not _points_elsewhere(found, reference):
            self.kept = False
        return found

    def unfitting(self, reference: Tree, targets: frozenset[str], spec: Spec, place: Place) -> None:
        """Note a reference of which it can be told that its type does not belong here."""
        kind = _type_of(reference)
        if kind is not None and kind not in targets:
            said = f"It points to {kind}."
            self.note("T010", said, spec, place, remedy=f"one of {', '.join(sorted(targets))}")

    def within(self, tree: Tree, spec: Spec) -> Tree:
        """Return an object with the references inside its children taken across."""
        changed: Tree = {}
        for name, value in tree.items():
            if isinstance(value, dict | list):
                new = self.rewritten(value, (spec, f".{name}"))
                if new is not value:
                    changed[name] = new
        return {**tree, **changed} if changed else tree

    def rewritten(self, value: Any, spec: Spec) -> Any:
        """Return a value with every Reference inside it taken through the crosswalk.

        What holds none comes back as it is, not copied.
        """
        if not self.deep:
            return value
        if isinstance(value, list):
            pattern = f"{spec[1]}[]"
            items = [
                self.rewritten(item, (spec[0], pattern, *spec[2:], value, item))
                if isinstance(item, dict | list)
                else item
                for item in value
            ]
            same = all(new is old for new, old in zip(items, value, strict=True))
            return value if same else items
        if not isinstance(value, dict):
            return value
        if ("reference" in value or "identifier" in value) and _is_reference(value):
            return self.reference(value, frozenset(), spec, _NOWHERE)
        return self.within(value, spec)

    def rewrite(self, o: Tree, names: tuple[str, ...], spec: Spec) -> None:
        """Take the references inside copied elements through the crosswalk."""
        for name in names:
            value = o.get(name)
            if value is not None:
                o[name] = self.rewritten(value, (spec, f".{name}"))


_NOWHERE = Place("", 0, 0)
BARE = frozenset({"reference", "display"})
"""What a Reference holds of which nothing but its literal says what it means."""
_TYPES = schema("R4").resources | schema("R5").resources


def _stands_alike(new: Tree, old: Tree) -> bool:
    """Tell whether beside the literal of a bare Reference nothing changed."""
    return new.keys() == old.keys() and new.get("display") is old.get("display")


def _points_elsewhere(new: Tree, old: Tree) -> bool:
    """Tell whether a Reference differs from a valid one in its literal alone, if at all."""
    return new.keys() == old.keys() and all(
        value is old[name] or (name == "reference" and is_pointer(value))
        for name, value in new.items()
    )


def _is_reference(value: Tree) -> bool:
    return "resourceType" not in value and is_reference(value)


def _type_of(reference: Tree) -> str | None:
    """Return the resource type that a reference names, if it does."""
    literal = reference.get("reference")
    if not isinstance(literal, str) or literal.startswith(("#", "urn:")):
        named = reference.get("type")
        return named if isinstance(named, str) else None
    head, query, _ = literal.partition("?")
    steps = head.split("/_history/")[0].rstrip("/").split("/")
    found = steps[-1] if query else steps[-2] if len(steps) > 1 else ""
    return found if found in _TYPES else None
