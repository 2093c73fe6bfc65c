"""The JSON Schemas say what the checks say, and the copies in docs/schemas are fresh."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from engine.cli import build
from engine.document import parse, read
from engine.schemas import CASES, HEAD, RULES, SCHEMAS
from engine.transform.cases import KEYS
from engine.transform.load import load_folder, mapping_paths
from engine.transform.read import TOP
from engine.transform.read_rules import RULE_KEYS

ROOT = Path(__file__).parent.parent
MAPPINGS = sorted(mapping_paths(ROOT / "mappings").values())
TESTS = sorted((ROOT / "mappings").glob("*/*.test.yaml"))
VALIDATORS = {name: Draft202012Validator(make()) for name, make in SCHEMAS.items()}
SAMPLE = (ROOT / "mappings" / "us-core" / "careteam.yaml").read_text()


def _tree(path: Path) -> Any:
    node, problems = read(path, name=path.name)
    assert node is not None, problems
    return json.loads(json.dumps(node.plain()))


def _problems(name: str, tree: Any) -> list[str]:
    return [error.message for error in VALIDATORS[name].iter_errors(tree)]


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_copy_for_editors_is_fresh(name: str) -> None:
    """docs/schemas holds what `carelane schema` prints, and it is a valid schema."""
    told = CliRunner().invoke(build("schema"), ["schema", name])
    assert told.exit_code == 0
    Draft202012Validator.check_schema(json.loads(told.output))
    copy = ROOT / "docs" / "schemas" / f"{name}.json"
    assert copy.read_text() == told.output, f"run `carelane schema {name} > {copy.name}`"


@pytest.mark.parametrize("path", MAPPINGS, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_shipped_mappings_obey_the_schema(path: Path) -> None:
    """What lint accepts, the schema accepts."""
    assert _problems("mapping", _tree(path)) == []


@pytest.mark.parametrize("path", TESTS, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_shipped_cases_obey_the_schema(path: Path) -> None:
    """What `carelane test` reads, the schema accepts."""
    assert _problems("test", _tree(path)) == []


@pytest.mark.parametrize("name", ["config.yaml", "engine/samples/project/config.yaml"])
def test_shipped_settings_obey_the_schema(name: str) -> None:
    """The settings of this repository, and those that `init` writes, obey the schema."""
    path = ROOT / name
    if not path.is_file():
        pytest.skip(f"{name} is not there")
    assert _problems("config", _tree(path)) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("version:", "versoin:"),
        ("on_miss: keep-source", "on_miss: keep-sauce"),
        ("on_miss:", "on_mis:"),
        ("extension: copy", "extension: copied"),
        ("name: copy", "name: coppy"),
        ("fhir: R4", "fhir: R3"),
        ("name: copy", "name: {function: open-endd}"),
        ("name: copy", "name: {drop: x}"),
        ("name: copy", "name: {coding: role, ref: Patient, on_miss: reject}"),
        ("name: copy", "na-me: copy"),
    ],
)
def test_what_lint_refuses_the_schema_refuses(old: str, new: str, tmp_path: Path) -> None:
    """A mistake that needs no knowledge of FHIR shows in the editor as well as in lint."""
    assert old in SAMPLE
    text = SAMPLE.replace(old, new, 1)
    node, _ = parse(text, "careteam.yaml")
    assert node is not None
    assert _problems("mapping", node.plain())
    file = tmp_path / "us-core" / "careteam.yaml"
    file.parent.mkdir()
    file.write_text(text)
    assert any(d.code != "M014" for d in load_folder(tmp_path).problems)


def test_every_key_is_described() -> None:
    """Schemas and checks know the same keys, each with a sentence."""
    assert set(HEAD) == set(TOP)
    assert set(RULES) == RULE_KEYS | {"take"}
    assert set(CASES) == set(KEYS)
    for about in (*HEAD.values(), *RULES.values(), *CASES.values()):
        assert about.endswith(".")


def test_the_reference_names_every_key() -> None:
    """docs/mapping-reference.md speaks of every key that the checks know."""
    text = (ROOT / "docs" / "mapping-reference.md").read_text()
    for key in {*TOP, *RULE_KEYS, *KEYS, "take"}:
        assert re.search(rf"\b{key}\b", text), key


def test_an_unknown_schema_is_misuse() -> None:
    """The nearest name is told."""
    told = CliRunner().invoke(build("schema"), ["schema", "maping"])
    assert told.exit_code == 2
    assert "mapping" in told.output
