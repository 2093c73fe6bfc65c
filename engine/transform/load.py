"""Read the mappings folder: files, what they extend, tables; checked and hashed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from engine.diagnostics import Diagnostic, Place, did_you_mean, has_errors
from engine.document import Node, read
from engine.transform.check import Checker
from engine.transform.extends import extended, nested
from engine.transform.functions import Pair
from engine.transform.mapping import Direction, MappingFile, Name, Side
from engine.transform.plan import Plan
from engine.transform.profiled import KnownProfile, unproduced
from engine.transform.read import Reader
from engine.transform.registry import FUNCTIONS
from engine.transform.strays import APART, BESIDE, strays, twins
from engine.transform.tables import Table, load_tables


class KnownProfiles(Protocol):
    """Give a profile that is loaded."""

    def get(self, url: str) -> KnownProfile | None: ...


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """Hold one mapping that was read; `plan` is None where it has errors."""

    name: str
    path: Path
    shown: str
    mapping: MappingFile | None
    plan: Plan | None
    hash: str
    problems: tuple[Diagnostic, ...]


@dataclass(slots=True)
class Folder:
    """Hold everything read from one mappings folder."""

    root: Path
    shown: str
    tables: dict[str, Table] = field(default_factory=dict)
    mappings: dict[str, Loaded] = field(default_factory=dict)
    problems: list[Diagnostic] = field(default_factory=list)


def mapping_paths(root: Path) -> dict[str, Path]:
    """Return each mapping file of a folder by its name, `<dialect>/<resource>`."""
    files = sorted(root.glob("*/*.yaml"))
    return {
        f"{path.parent.name}/{path.stem}": path
        for path in files
        if path.parent.name not in APART and not path.name.endswith(BESIDE)
    }


def load_folder(
    root: Path,
    profiles: KnownProfiles | None = None,
    functions: Mapping[str, Pair] = FUNCTIONS,
    shown: str | None = None,
) -> Folder:
    """Read and check every table and mapping of a folder; problems are collected, never raised."""
    folder = Folder(root, shown or root.name)
    folder.tables, folder.problems = load_tables(root / "tables", f"{folder.shown}/tables")
    paths = mapping_paths(root)
    nodes: dict[str, tuple[Node | None, list[Diagnostic]]] = {}

    def node(name: str) -> tuple[Node | None, list[Diagnostic]]:
        if name not in nodes:
            path = paths.get(name)
            if path is None:
                return None, []
            root_node, problems = read(path, name=f"{folder.shown}/{name}.yaml")
            if root_node is not None:
                root_node, more = nested(root_node)
                problems = [*problems, *more]
            nodes[name] = (root_node, problems)
        return nodes[name]

    for name, path in paths.items():
        loaded = _load(folder, name, path, node(name), lambda n: node(n)[0], list(paths), functions)
        folder.mappings[name] = _profiled(loaded, profiles)
        folder.problems += folder.mappings[name].problems
    folder.problems += strays(root, folder.shown, paths)
    folder.problems += twins(one.mapping for one in folder.mappings.values() if one.mapping)
    folder.problems = _once(folder.problems)
    return folder


def _load(
    folder: Folder,
    name: str,
    path: Path,
    found: tuple[Node | None, list[Diagnostic]],
    node: object,
    known: list[str],
    functions: Mapping[str, Pair],
) -> Loaded:
    shown = f"{folder.shown}/{name}.yaml"
    root, problems = found
    if root is None or not callable(node):
        return Loaded(name, path, shown, None, None, "", tuple(problems))
    merged, more, parents = extended(root, node, known)
    reader = Reader()
    mapping = reader.file(merged)
    problems = [*problems, *more, *reader.problems]
    plan: Plan | None = None
    if mapping is not None:
        problems += _named(mapping, name, root)
        checker = Checker(mapping, folder.tables, functions)
        plan = checker.plan()
        problems += checker.problems
    problems = _once(problems)
    if has_errors(problems):
        plan = None
    digest = _digest(folder, (name, *parents), plan)
    return Loaded(name, path, shown, mapping, plan, digest, tuple(problems))


def _once(problems: list[Diagnostic]) -> list[Diagnostic]:
    return list(dict.fromkeys(problems))


def _named(mapping: MappingFile, name: str, root: Node) -> list[Diagnostic]:
    if mapping.name == name:
        return []
    place = (root.get("mapping") or root).place
    remedy = did_you_mean(mapping.name, [name]) or f"write `mapping: {name}`."
    said = f"This file holds the mapping '{name}', and calls itself '{mapping.name}'."
    return [Diagnostic("M004", said, place=place, expected=name, remedy=remedy)]


def _profiled(loaded: Loaded, profiles: KnownProfiles | None) -> Loaded:
    """Note profiles that are not loaded, and what they require that the mapping cannot make."""
    if loaded.mapping is None or profiles is None:
        return loaded
    more: list[Diagnostic] = []
    sides: tuple[tuple[Side, Direction], ...] = (
        (loaded.mapping.dialect, "to_dialect"),
        (loaded.mapping.canonical, "to_canonical"),
    )
    for side, direction in sides:
        profile = profiles.get(side.profile.text) if side.profile else None
        if side.profile and profile is None:
            more.append(_unloaded(side.profile))
        elif side.profile and profile is not None and loaded.plan is not None:
            more += unproduced(loaded.plan, direction, side.profile, profile)
    if not more:
        return loaded
    problems = (*loaded.problems, *more)
    return Loaded(
        loaded.name, loaded.path, loaded.shown, loaded.mapping, None, loaded.hash, problems
    )


def _unloaded(name: Name) -> Diagnostic:
    return Diagnostic(
        "M036",
        "The profile is not loaded.",
        place=Place(name.place.file, name.place.line, name.place.column),
        expected="the url of a StructureDefinition under profiles/",
        remedy="add the profile, or leave `profile:` away.",
    )


def _digest(folder: Folder, names: tuple[str, ...], plan: Plan | None) -> str:
    """Return the SHA-256 of everything that the mapping rests on."""
    digest = hashlib.sha256()
    for name in names:
        path = folder.root / f"{name}.yaml"
        digest.update(f"{name}\0".encode() + path.read_bytes() + b"\0")
    for table in sorted(plan.tables if plan else ()):
        digest.update(f"{table}\0".encode() + folder.tables[table].text + b"\0")
    return digest.hexdigest()
