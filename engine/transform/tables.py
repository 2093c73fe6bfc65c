"""Code tables from YAML, CSV or ConceptMap, read once and usable in both directions."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.diagnostics import Diagnostic, Place, Problems, did_you_mean
from engine.document import Node, position, read
from engine.transform.mapping import DIRECTIONS, Direction

MAX_BYTES = 5_000_000
MAX_ROWS = 50_000
RELATIONSHIPS = ("equivalent", "wider", "narrower", "related")
COLUMNS = [
    "dialect_system",
    "dialect",
    "dialect_display",
    "canonical_system",
    "canonical",
    "canonical_display",
    "relationship",
    "preferred",
    "only",
    "note",
]
PREFERRED = "https://carelane.example/fhir/StructureDefinition/preferred"
_CONCEPT_MAP = {
    "equal": "equivalent",
    "equivalent": "equivalent",
    "wider": "wider",
    "subsumes": "wider",
    "narrower": "narrower",
    "specializes": "narrower",
    "relatedto": "related",
    "inexact": "related",
}

Key = tuple[str | None, str]


@dataclass(frozen=True, slots=True)
class Row:
    """Hold one pair of codes; `relationship` is what canonical is, compared with dialect."""

    dialect: Key
    canonical: Key
    dialect_display: str | None
    canonical_display: str | None
    relationship: str
    preferred: frozenset[Direction]
    only: Direction | None
    place: Place

    def source(self, direction: Direction) -> Key:
        """Return the code that is looked up in this direction."""
        return self.dialect if direction == "to_canonical" else self.canonical

    def target(self, direction: Direction) -> Key:
        """Return the code that comes out in this direction."""
        return self.canonical if direction == "to_canonical" else self.dialect

    def coding(self, direction: Direction) -> dict[str, str]:
        """Return a new Coding of what comes out in this direction."""
        system, code = self.target(direction)
        display = self.canonical_display if direction == "to_canonical" else self.dialect_display
        out = {"system": system, "code": code, "display": display}
        return {key: value for key, value in out.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Table:
    """Hold a whole table; `ways` gives the chosen row by code for each direction."""

    name: str
    place: Place
    rows: tuple[Row, ...]
    ways: Mapping[Direction, Mapping[Key, Row]]
    text: bytes = field(repr=False, default=b"")
    version: str = ""

    @property
    def label(self) -> str:
        """Return name and version, as the loss record of a message tells them."""
        return f"{self.name} {self.version}"

    def collapsing(self, direction: Direction) -> list[tuple[Key, list[Row]]]:
        """Return each code that several rows share on the way out of `direction`."""
        groups: dict[Key, list[Row]] = defaultdict(list)
        for row in self.rows:
            if row.only in (None, direction):
                groups[row.target(direction)].append(row)
        return [(key, rows) for key, rows in groups.items() if len(rows) > 1]


@dataclass(slots=True)
class _Draft(Problems):
    """Collect the problems of one file."""

    name: str


def load_tables(folder: Path, shown: str) -> tuple[dict[str, Table], list[Diagnostic]]:
    """Read every table of a folder; names are file names without ending."""
    tables: dict[str, Table] = {}
    problems: list[Diagnostic] = []
    if not folder.is_dir():
        return tables, problems
    for path in sorted(folder.iterdir()):
        if path.suffix not in (".yaml", ".csv", ".json"):
            continue
        table, found = load_table(path, f"{shown}/{path.name}")
        problems += found
        if table is not None and table.name in tables:
            problems.append(
                Diagnostic(
                    "M024",
                    f"Two files give the table '{table.name}'.",
                    place=Place(f"{shown}/{path.name}", 1, 1),
                    remedy="keep one of them.",
                )
            )
        elif table is not None:
            tables[table.name] = table
    return tables, problems


def load_table(path: Path, shown: str) -> tuple[Table | None, list[Diagnostic]]:
    """Read one table; the answer is None with the problems where it cannot be used."""
    draft = _Draft(path.name.split(".")[0])
    start = Place(shown, 1, 1)
    text = b""
    try:
        if path.stat().st_size > MAX_BYTES:
            draft.problem("M021", f"The table is larger than {MAX_BYTES} bytes.", start)
            return None, draft.problems
        text = path.read_bytes()
    except OSError as error:
        draft.problem("M021", f"The table cannot be read: {error.strerror}.", start)
        return None, draft.problems
    read_rows = {".yaml": _from_yaml, ".csv": _from_csv, ".json": _from_concept_map}[path.suffix]
    rows = list(read_rows(draft, path, text, shown))
    if len(rows) > MAX_ROWS:
        draft.problem("M021", f"The table has more than {MAX_ROWS} rows.", start)
    return _table(draft, start, rows, text)


def _table(
    draft: _Draft, place: Place, rows: list[Row], text: bytes
) -> tuple[Table | None, list[Diagnostic]]:
    if not rows and not draft.problems:
        draft.problem("M021", "The table has no rows.", place)
    seen: dict[tuple[Key, Key], Row] = {}
    for row in rows:
        pair = (row.dialect, row.canonical)
        if pair in seen:
            first = seen[pair].place.line
            draft.problem("M024", f"The row is the same as in line {first}.", row.place)
        seen[pair] = row
    ways = {d: _way(draft, rows, d) for d in DIRECTIONS}
    if draft.problems:
        return None, draft.problems
    return Table(draft.name, place, tuple(rows), ways, text, _version(text)), []


def _version(text: bytes) -> str:
    """Return the start of the SHA-256 of a table file."""
    return hashlib.sha256(text).hexdigest()[:12]


def _way(draft: _Draft, rows: Iterable[Row], direction: Direction) -> dict[Key, Row]:
    groups: dict[Key, list[Row]] = defaultdict(list)
    for row in rows:
        if row.only in (None, direction):
            groups[row.source(direction)].append(row)
    return {key: _choose(draft, group, direction) for key, group in groups.items()}


def _choose(draft: _Draft, group: list[Row], direction: Direction) -> Row:
    if len(group) == 1:
        return group[0]
    preferred = [row for row in group if direction in row.preferred]
    if len(preferred) == 1:
        return preferred[0]
    side = "canonical" if direction == "to_dialect" else "dialect"
    lines = ", ".join(str(row.place.line) for row in group)
    said = "more than one is" if preferred else "none is"
    draft.problem(
        "M022",
        f"The {side} code '{group[0].source(direction)[1]}' stands in rows {lines}, "
        f"and {said} preferred.",
        (preferred or group)[-1].place,
        f"preferred: {direction} on exactly one of them",
        f"add `preferred: {direction}` to the row that the way {direction} should choose.",
    )
    return group[0]


def _row(draft: _Draft, cells: Mapping[str, str | None], place: Place) -> Row | None:
    for column, cell in cells.items():
        if cell and cell[0] in "=+-@\t\r" and column != "note":
            draft.problem("M023", f"The cell '{column}' looks like a formula.", place, "a code")
            return None
    missing = [name for name in ("dialect", "canonical") if not cells.get(name)]
    if missing:
        draft.problem("M021", f"The row has no {missing[0]} code.", place, "dialect and canonical")
        return None
    for name in ("dialect", "canonical"):
        code = str(cells[name])
        if code != code.strip() or not code.isprintable():
            said = f"The {name} code has a space at its ends, or a character that nobody sees."
            draft.problem("M021", said, place, repr(code.strip()))
    relationship = cells.get("relationship") or "equivalent"
    if relationship not in RELATIONSHIPS:
        draft.problem(
            "M021",
            f"'{relationship}' is no relationship.",
            place,
            " | ".join(RELATIONSHIPS),
            did_you_mean(relationship, RELATIONSHIPS),
        )
        return None
    preferred = _preferred(draft, cells.get("preferred"), place)
    return Row(
        dialect=(cells.get("dialect_system") or None, str(cells["dialect"])),
        canonical=(cells.get("canonical_system") or None, str(cells["canonical"])),
        dialect_display=cells.get("dialect_display") or None,
        canonical_display=cells.get("canonical_display") or None,
        relationship=relationship,
        preferred=preferred,
        only=_direction(draft, cells.get("only"), place),
        place=place,
    )


def _direction(draft: _Draft, text: str | None, place: Place) -> Direction | None:
    if text and text not in DIRECTIONS:
        remedy = did_you_mean(text, DIRECTIONS)
        draft.problem("M021", f"'{text}' says no direction.", place, " | ".join(DIRECTIONS), remedy)
    return next((d for d in DIRECTIONS if d == text), None)


def _preferred(draft: _Draft, text: str | None, place: Place) -> frozenset[Direction]:
    words = (*DIRECTIONS, "both")
    if not text:
        return frozenset()
    if text not in words:
        remedy = did_you_mean(text, words)
        draft.problem("M021", f"'{text}' says no direction.", place, " | ".join(words), remedy)
        return frozenset()
    return frozenset(d for d in DIRECTIONS if text in (d, "both"))


# --- YAML ----------------------------------------------------------------------------------


def _from_yaml(draft: _Draft, path: Path, text: bytes, shown: str) -> Iterator[Row]:
    root, problems = read(path, name=shown)
    draft.problems += problems
    if root is None:
        return
    _known(draft, root, ("table", "title", "dialect", "canonical", "rows", "note", "source"))
    name = root.get("table")
    if name is None or name.value != draft.name:
        place = name.place if name else root.place
        draft.problem(
            "M004", f"The table in this file is '{draft.name}'.", place, f"table: {draft.name}"
        )
    rows = root.get("rows")
    if rows is None or not rows.is_list:
        draft.problem("M021", "The table has no `rows:` list.", root.place, "rows: [...]")
        return
    _single(draft, root, ("dialect", "canonical"))
    systems = {f"{s}_system": _cell(root.get(s)) for s in ("dialect", "canonical")}
    for node in rows.value:
        if not node.is_map:
            draft.problem("M021", "A row is a mapping.", node.place, "{dialect: .., canonical: ..}")
            continue
        _known(draft, node, COLUMNS)
        _single(draft, node, COLUMNS)
        cells = systems | {key: _cell(value) for key, _, value in node.items()}
        row = _row(draft, cells, node.place)
        if row is not None:
            yield row


def _cell(node: Node | None) -> str | None:
    if node is None or node.value is None or isinstance(node.value, dict | list):
        return None
    if isinstance(node.value, bool):
        return "true" if node.value else "false"
    return str(node.value)


def _single(draft: _Draft, node: Node, names: Iterable[str]) -> None:
    """Note a list or mapping where one value belongs."""
    for name in names:
        given = node.get(name)
        if given is not None and (given.is_map or given.is_list):
            draft.problem("M021", f"The cell '{name}' holds more than one value.", given.place)


def _known(draft: _Draft, node: Node, names: Iterable[str]) -> None:
    choices = list(names)
    for key, place, _ in node.items():
        if key not in choices:
            draft.problem(
                "M001",
                f"There is no '{key}' in a table.",
                place,
                ", ".join(choices),
                did_you_mean(key, choices),
            )


# --- CSV -----------------------------------------------------------------------------------


def _from_csv(draft: _Draft, path: Path, text: bytes, shown: str) -> Iterator[Row]:
    try:
        reader = csv.reader(io.StringIO(text.decode("utf-8-sig"), newline=None), strict=True)
        header = [name.strip() for name in next(reader, [])]
        for index, name in enumerate(header):
            if name in header[:index]:
                said = f"The column '{name[:40]}' stands twice."
                draft.problem("M021", said, Place(shown, 1, 1), "each column once")
            if name not in COLUMNS:
                draft.problem(
                    "M001",
                    f"There is no column '{name[:40]}' in a table.",
                    Place(shown, 1, 1),
                    ", ".join(COLUMNS),
                    did_you_mean(name, COLUMNS),
                )
        for cells in reader:
            yield from _csv_row(draft, header, cells, Place(shown, reader.line_num, 1))
    except UnicodeDecodeError as error:
        line, column = position(text, error.start)
        said = "This is not CSV in UTF-8."
        draft.problem("M021", said, Place(shown, line, column), "a file saved as UTF-8")
    except csv.Error as error:
        said = f"This is not CSV: {error}."
        draft.problem("M021", said, Place(shown, max(reader.line_num, 1), 1))


def _csv_row(draft: _Draft, header: list[str], cells: list[str], place: Place) -> Iterator[Row]:
    if not any(cells):
        return
    if len(cells) != len(header):
        draft.problem(
            "M021", f"The row has {len(cells)} cells.", place, f"{len(header)} cells, as the header"
        )
        return
    row = _row(draft, {k: v.strip() for k, v in zip(header, cells, strict=True)}, place)
    if row is not None:
        yield row


# --- ConceptMap (http://hl7.org/fhir/R4/conceptmap.html) ------------------------------------


def _from_concept_map(draft: _Draft, path: Path, text: bytes, shown: str) -> Iterator[Row]:
    place = Place(shown, 1, 1)
    try:
        tree = json.loads(text, object_pairs_hook=_each_once)
    except UnicodeDecodeError as error:
        line, column = position(text, error.start)
        draft.problem("M021", "This is not JSON in UTF-8.", Place(shown, line, column))
        return
    except json.JSONDecodeError as error:
        at = Place(shown, error.lineno, error.colno)
        draft.problem("M021", f"This is not JSON: {error.msg}.", at)
        return
    except (ValueError, RecursionError) as error:
        draft.problem("M021", f"This is not JSON that is read here: {error}.", place)
        return
    if not isinstance(tree, dict) or tree.get("resourceType") != "ConceptMap":
        draft.problem("M021", "This is no ConceptMap in JSON.", place)
        return
    lines = _Lines(text)
    try:
        for where, row_cells in list(_concept_map_cells(draft, tree, place)):
            at = Place(shown, lines.of(where, str(row_cells["dialect"])), 1)
            if any(cell is not None and not isinstance(cell, str) for cell in row_cells.values()):
                draft.problem("M021", f"A code of {where} is no text.", at)
            elif (row := _row(draft, row_cells, at)) is not None:
                yield row
    except (AttributeError, TypeError, KeyError):
        draft.problem("M021", "The ConceptMap has not the shape that FHIR R4 gives it.", place)


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON; raise ValueError where a key stands twice."""
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            raise ValueError(f"the key '{name[:80]}' stands twice in an object")
        seen.add(name)
    return dict(pairs)


class _Lines:
    """Tell the line of each code of a JSON file, as they come one after the other."""

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.at = self.line = 0
        self.element = ""

    def of(self, where: str, code: str) -> int:
        """Return the line of an element's code, or of the one before where it is not found."""
        element = where.rpartition(".")[0]
        written = json.dumps(code, ensure_ascii=False).encode()
        found = self.text.find(written, self.at + 1) if element != self.element else -1
        if found > 0:
            self.line += self.text.count(b"\n", self.at, found)
            self.at = found
        self.element = element
        return self.line + 1


_READ = {
    "group": frozenset({"id", "source", "sourceVersion", "target", "targetVersion", "element"}),
    "element": frozenset({"id", "code", "display", "target"}),
    "target": frozenset({"id", "code", "display", "equivalence", "relationship", "comment"})
    | {"extension"},
}


def _unread(draft: _Draft, kind: str, given: dict[str, Any], place: Place) -> None:
    """Note what a ConceptMap says and a table cannot: it would be passed over."""
    for name in given.keys() - _READ[kind]:
        known = sorted(_READ[kind])
        said = f"'{name}' of a ConceptMap's {kind} is not read here."
        draft.problem("M021", said, place, ", ".join(known), did_you_mean(name, known))


def _concept_map_cells(
    draft: _Draft, tree: dict[str, Any], place: Place
) -> Iterator[tuple[str, dict[str, Any]]]:
    for g, group in enumerate(tree.get("group", ())):
        _unread(draft, "group", group, place)
        for e, element in enumerate(group.get("element", ())):
            _unread(draft, "element", element, place)
            for t, target in enumerate(element.get("target", ())):
                _unread(draft, "target", target, place)
                relation = target.get("equivalence") or target.get("relationship") or ""
                if relation in ("unmatched", "disjoint", "not-related-to"):
                    continue
                extensions = target.get("extension", ())
                marks = [e["valueCode"] for e in extensions if e["url"] == PREFERRED]
                yield (
                    f"group[{g}].element[{e}].target[{t}]",
                    {
                        "dialect_system": group.get("source"),
                        "dialect": element.get("code"),
                        "dialect_display": element.get("display"),
                        "canonical_system": group.get("target"),
                        "canonical": target.get("code"),
                        "canonical_display": target.get("display"),
                        "relationship": _CONCEPT_MAP.get(relation, relation),
                        "preferred": marks[0] if marks else None,
                    },
                )
