"""The house stays in order: imports point one way, rooms stay small, every entry is explained."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

import engine
from engine.cli import COMMANDS, build
from engine.codes import Code
from engine.diagnostics import CODES

ENGINE = Path(engine.__file__).parent
MODULES = sorted(ENGINE.rglob("*.py"))
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "misc"}

ROOMS = (
    ("foundation", ("errors", "codes", "diagnostics", "document", "message", "clock", "audit")),
    ("fhir", ("fhir",)),
    ("config", ("config",)),
    ("road", ("parse", "validate", "transform", "rules", "road", "deliver", "outreach", "project")),
    ("store", ("store", "ledger")),
    ("edges", ("server", "cli", "console", "samples")),
)
"""The floors, the ground first; a module may import from its own floor and from those below."""


def name_of(path: Path) -> str:
    parts = path.relative_to(ENGINE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path, *, at_run_time: bool = True) -> Iterator[str]:
    """Yield the modules of ours that a file imports; not those only a type checker sees."""
    tree = ast.parse(path.read_text())
    hidden: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            hidden.update(id(inner) for part in node.body for inner in ast.walk(part))
    for node in ast.walk(tree):
        if at_run_time and id(node) in hidden:
            continue
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("engine"):
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in KNOWN else node.module
        elif isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.startswith("engine"))


KNOWN = {name_of(path) for path in MODULES}


def floor(module: str) -> int | None:
    room = module.split(".")[1] if "." in module else ""
    return next((n for n, (_, rooms) in enumerate(ROOMS) if room in rooms), None)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_one_way(path: Path) -> None:
    """No room imports from a floor above its own, except for what only the type checker reads."""
    own = floor(name_of(path))
    if own is None:
        return
    above = {
        name for name in imports_of(path) if (other := floor(name)) is not None and other > own
    }
    assert not above


def test_there_are_no_circles() -> None:
    """No module imports itself through others."""
    graph = {name_of(path): set(imports_of(path)) - {name_of(path)} for path in MODULES}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail[trail.index(name) :], name))
        if name in done:
            return
        for other in graph.get(name, ()):
            visit(other, (*trail, name))
        done.add(name)

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_rooms_stay_small_and_say_what_they_are(path: Path) -> None:
    """Each module has a docstring, at most 500 lines, and a name that says something."""
    text = path.read_text()
    assert ast.get_docstring(ast.parse(text)), "a module says its place on the road"
    assert text.count("\n") <= 500
    assert path.stem not in FORBIDDEN_NAMES


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str) -> None:
    """Each row of the command table runs with --help and says what the command does."""
    result = CliRunner().invoke(build(name), [name, "--help"])
    assert result.exit_code == 0, result.output
    assert COMMANDS[name].help.endswith(".")
    assert "Usage" in result.output


@pytest.mark.parametrize("code", CODES.values(), ids=lambda code: code.code)
def test_every_code_is_explained(code: object) -> None:
    """Each diagnostic code has a title, a FHIR issue type and an explanation."""
    assert isinstance(code, Code)
    assert code.title
    assert re.fullmatch(r"[a-z][a-z-]+", code.issue)
    assert len(code.explanation) > 20


def test_codes_are_never_reused() -> None:
    """Two rooms never give one code two meanings."""
    rooms = (
        "parse",
        "validate",
        "config",
        "mapping",
        "crosswalk",
        "consent",
        "road",
        "deliver",
        "rules",
        "outreach",
        "coordination",
        "subscriptions",
    )
    tables = [importlib.import_module(f"engine.codes.{room}").CODES for room in rooms]
    listed = [code.code for table in tables for code in table]
    assert len(listed) == len(set(listed))
