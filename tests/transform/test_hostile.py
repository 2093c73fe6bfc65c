"""No mapping can execute anything: hostile files are refused with a code, by the place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.transform.expressions import check_expression, evaluate

from makings import HEAD, adapter, load, mapping  # isort: skip

INJECTIONS = ["'); import os; ('", 'x"""\nimport os\n"""', "\\", "{o1}", "# x\\n"]
BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("!!python/object/apply:os.system ['true']\n", "C004"),
        ("mapping: !!python/name:os.system\n", "C004"),
        (BOMB, "C004"),
        ("description: " + "x" * 10_000_000, "C002"),
        ("[" * 5000, "C002"),
        ("mapping: home/careteam\nmapping: home/careteam\n", "C005"),
        ("\x00", "C003"),
        ("- a list\n", "M003"),
        ("just text\n", "M003"),
    ],
)
def test_hostile_yaml_is_refused_with_a_code(text: str, code: str, tmp_path: Path) -> None:
    """Tags, anchor bombs, giant scalars and deep nests do not get past the reader."""
    assert code in {problem.code for problem in load(tmp_path, text).problems}


@pytest.mark.parametrize(
    "text",
    [
        "name.__class__.__mro__",
        "_private",
        "%resource",
        "%`ext-x`",
        "today()",
        "now()",
        "trace('x')",
        "'http://x'.resolve()",
        "repeat(children())",
        "name.matches('(a+)+$')",
        "name.(",
        "x" * 5000,
    ],
)
def test_an_expression_that_reaches_out_is_refused(text: str) -> None:
    """Dunder names, variables, clock, network and regular expressions are closed to mappings."""
    assert check_expression(text)


def test_an_expression_that_fails_finds_nothing() -> None:
    """An expression that cannot be computed on a message is empty, no exception."""
    assert evaluate("name + 1", {"resourceType": "CareTeam", "name": "x"}) == []


@pytest.mark.parametrize(
    "word", ["'); import os; ('", 'x"""\nimport os\n"""', "\\", "{o1}", "# x\\n"]
)
def test_nothing_that_an_analyst_writes_gets_into_generated_code(word: str, tmp_path: Path) -> None:
    """Generated source holds names of FHIR and of constants; reasons and urls stay outside."""
    quoted = '"' + word.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + ' why"'
    url = json.dumps(f"http://a.example/{''.join(word.split())}")
    changes = {"note": f"{{drop: {quoted}}}", "name": f"{{cross_version: {url}}}"}
    tail = "canonical_only: {note: carry, name: carry}\n"
    made = adapter(tmp_path, mapping(changes, HEAD + f"description: {quoted}\n", tail))
    for source in made.sources.values():
        assert "import" not in source
        assert word not in source
    result = made.to_canonical({"resourceType": "CareTeam", "note": [{"text": "x"}]})
    assert [d.code for d in result.diagnostics] == ["T016"]


def test_generated_code_reaches_no_builtins(tmp_path: Path) -> None:
    """The namespace of generated code has only what it needs."""
    made = adapter(tmp_path, mapping())
    assert "__import__" not in made.sources["to_canonical"]
    function = made.function("to_canonical")
    assert set(function.__globals__["__builtins__"]) == {"all", "len", "map", "sorted"}


@pytest.mark.parametrize(
    "tree",
    [
        {},
        {"a": 1},
        {"participant": "x"},
        {"participant": [3]},
        {"subject": "x"},
        {"category": [{"coding": "x"}]},
        {"status": {}},
        {"extension": 3},
        {"category": [None]},
    ],
)
def test_a_misshapen_resource_is_a_diagnostic(tree: dict[str, object], tmp_path: Path) -> None:
    """Whatever shape arrives, the answer is a result with paths, never a traceback."""
    changes = {"category": "{coding: role, on_miss: reject}", "subject": "{ref: Patient}"}
    made = adapter(tmp_path, mapping(changes))
    result = made.to_canonical({"resourceType": "CareTeam", **tree})
    assert result.ok or result.diagnostics
