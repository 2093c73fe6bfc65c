"""The crosswalk as an analyst writes it: a CSV in which rows of one group mean the same.

    same_as,type,system,reference,identifier_system,identifier_value
    ann,Patient,mercy,Patient/123,http://mercy.example/mrn,A1
    ann,Patient,hub,Patient/77,http://hub.example/member,MB1

A row names one record by its `reference` in a `system`, by an identifier, or by both. Rows with the
same `same_as` (any word; it is not stored) mean the same member, person or organization; a row
without it stands for itself.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from engine.diagnostics import Diagnostic, Place, did_you_mean
from engine.transform.crosswalk import Key, identifier_key, literal, reference_key

COLUMNS = ("same_as", "type", "system", "reference", "identifier_system", "identifier_value")
MAX_ROWS = 1_000_000
_CELL = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([^",]*))\s*(,|$)')
_TYPE = re.compile(r"[A-Z][A-Za-z]{2,40}")


@dataclass(slots=True)
class Group:
    """Hold the keys that mean one entity, each with where it stands."""

    type: str
    place: Place
    keys: dict[Key, Place] = field(default_factory=dict)


Cells = Mapping[str, tuple[str, Place]]


def read_crosswalk(
    text: str, name: str, systems: Collection[str] | None = None
) -> tuple[list[Group], list[Diagnostic]]:
    """Read the CSV; `systems` are the names it may use (None: any). Problems carry their place."""
    lines = text.removeprefix("\ufeff").splitlines()
    header, problems = _header(lines[0] if lines else "", name)
    if problems:
        return [], problems
    if len(lines) > MAX_ROWS:
        return [], [_problem("K102", Place(name, MAX_ROWS, 1), "The file has too many rows.")]
    reader = _Reader(systems)
    for number, line in enumerate(lines[1:], 2):
        if line.strip():
            reader.read(line, number, name, header)
    return list(reader.groups.values()), reader.problems


def _header(line: str, name: str) -> tuple[list[str], list[Diagnostic]]:
    cells = [(cell.strip(), Place(name, 1, column)) for cell, column in _cells(line) or ()]
    problems = [
        Diagnostic(
            "K101",
            f"There is no column '{cell}'.",
            place=place,
            expected=", ".join(COLUMNS),
            remedy=did_you_mean(cell, COLUMNS),
        )
        for cell, place in cells
        if cell not in COLUMNS
    ]
    found = [cell for cell, _ in cells]
    missing = [column for column in COLUMNS if column not in found]
    if missing and not problems:
        said = f"The first line lacks the column '{missing[0]}'."
        problems = [_problem("K101", Place(name, 1, 1), said, ", ".join(COLUMNS))]
    return found, problems


class _Reader:
    """Gather rows into groups; one reader per file."""

    def __init__(self, systems: Collection[str] | None) -> None:
        self.systems = systems
        self.groups: dict[str, Group] = {}
        self.problems: list[Diagnostic] = []
        self._owner: dict[Key, tuple[str, Place]] = {}

    def read(self, line: str, number: int, name: str, header: list[str]) -> None:
        found = _cells(line)
        start = Place(name, number, 1)
        if found is None or len(found) != len(header):
            said = "The row does not have the cells of the first line."
            self.problems.append(_problem("K102", start, said, f"{len(header)} cells"))
            return
        cells = {
            column: (cell.strip(), Place(name, number, at))
            for column, (cell, at) in zip(header, found, strict=True)
        }
        problems = list(_wrong(cells, self.systems))
        self.problems += problems
        if not problems:
            self._keep(cells, start)

    def _keep(self, cells: Cells, start: Place) -> None:
        type_name = cells["type"][0]
        word = cells["same_as"][0] or f"\0{start.line}"
        group = self.groups.setdefault(word, Group(type_name, start))
        if group.type != type_name:
            said = f"This group means a {group.type} since line {group.place.line}."
            self.problems.append(_problem("K103", cells["type"][1], said, group.type))
            return
        for key, place in _keys(cells):
            owner, first = self._owner.setdefault(key, (word, place))
            if owner != word:
                said = f"The same record stands in another group at line {first.line}."
                self.problems.append(_problem("K103", place, said, "one group for each record"))
            else:
                group.keys.setdefault(key, place)


def _wrong(cells: Cells, systems: Collection[str] | None) -> Iterator[Diagnostic]:
    type_name, place = cells["type"]
    if not _TYPE.fullmatch(type_name):
        yield _problem("K102", place, "This is no resource type.", "such as Patient")
    reference, place = cells["reference"]
    found = literal(reference) if reference else None
    if reference and (found is None or found.base is not None or found.type != type_name):
        yield _problem("K102", place, "This is no reference of that type.", f"{type_name}/id")
    system, place = cells["system"]
    if reference and not system:
        yield _problem("K102", place, "A reference needs its system.", "a system of config.yaml")
    if system and systems is not None and system not in systems:
        yield Diagnostic(
            "K102",
            f"There is no system '{system}'.",
            place=place,
            expected=", ".join(sorted(systems)),
            remedy=did_you_mean(system, systems),
        )
    naming, value = cells["identifier_system"], cells["identifier_value"]
    if bool(naming[0]) != bool(value[0]):
        lacking = naming if value[0] else value
        yield _problem("K102", lacking[1], "An identifier needs its system and its value.")
    if not reference and not naming[0] and not value[0]:
        yield _problem("K102", cells["reference"][1], "The row names no record.")


def _keys(cells: Cells) -> Iterator[tuple[Key, Place]]:
    value, place = cells["identifier_value"]
    identifier = {"system": cells["identifier_system"][0], "value": value}
    if key := identifier_key(cells["type"][0], identifier):
        yield key, place
    reference, place = cells["reference"]
    if reference:
        yield reference_key(cells["system"][0], reference), place


def _cells(line: str) -> list[tuple[str, int]] | None:
    """Split one line (RFC 4180, without line breaks in cells) into texts and columns from 1."""
    cells: list[tuple[str, int]] = []
    at = 0
    while True:
        found = _CELL.match(line, at)
        if found is None:
            return None
        quoted, plain, ending = found.groups()
        text = plain if quoted is None else quoted.replace('""', '"')
        cells.append((text, at + 1))
        at = found.end()
        if ending != ",":
            return cells


def _problem(code: str, place: Place, said: str, expected: str | None = None) -> Diagnostic:
    return Diagnostic(code, said, place=place, expected=expected)
