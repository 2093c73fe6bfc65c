"""Files of a mappings folder that nothing would read, and mappings that say the same twice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from engine.diagnostics import Diagnostic, Place, did_you_mean
from engine.transform.mapping import MappingFile

BESIDE = (".test.yaml", ".certificate.yaml")
APART = ("tables", "notifications")
TABLES = (".yaml", ".csv", ".json")
_MEANT = (".yaml", ".yml")
_MEANT_TABLES = (*_MEANT, ".csv", ".json", ".tsv", ".txt", ".xls", ".xlsx", ".ods")
_ELSE = "move anything else out of the folder."


def strays(root: Path, shown: str, known: Iterable[str]) -> Iterator[Diagnostic]:
    """Yield a problem for each file that looks like a mapping, case file or table and is not read.

    `known` are the names of mappings that are there.
    """
    names = set(known)
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts
        if not path.is_file() or any(part.startswith(".") for part in parts):
            continue
        remedy = _remedy(parts, names)
        if remedy is not None:
            place = Place(f"{shown}/{'/'.join(parts)}", 1, 1)
            yield Diagnostic("M041", "Nothing reads this file.", place=place, remedy=remedy)


def _remedy(parts: tuple[str, ...], names: set[str]) -> str | None:
    """Return what to do about a file, or None where it is read or no business of ours."""
    name = parts[-1]
    ending = Path(name).suffix
    if parts[0] == APART[0]:
        said = f"a table is tables/<table>{{{','.join(TABLES)}}}; {_ELSE}"
        is_read = len(parts) == 2 and ending in TABLES
        return None if is_read or ending.lower() not in _MEANT_TABLES else said
    if parts[0] == APART[1] or ending.lower() not in _MEANT:
        return None
    if len(parts) != 2 or ending != ".yaml":
        return f"a mapping is <dialect>/<resource>.yaml; {_ELSE}"
    beside = next((one for one in BESIDE if name.endswith(one)), None)
    if beside is None or (mapping := f"{parts[0]}/{name.removesuffix(beside)}") in names:
        return None
    return did_you_mean(mapping, names) or f"there is no mapping {mapping} beside it."


def twins(mappings: Iterable[MappingFile]) -> Iterator[Diagnostic]:
    """Yield a problem for each mapping of a type that another of its dialect is for already."""
    first: dict[tuple[str, str], MappingFile] = {}
    for mapping in mappings:
        type_name = mapping.dialect.resource
        other = first.setdefault((mapping.name.partition("/")[0], type_name), mapping)
        if other is not mapping:
            yield Diagnostic(
                "M042",
                f"The mapping {other.name} is for {type_name} of this dialect already.",
                place=mapping.place,
                expected="one mapping for each type of a dialect",
                remedy="correct `resource:`, or keep one of the two.",
            )
