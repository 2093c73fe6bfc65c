"""`carelane decide`: files in, an answer and an exit code out."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from engine.cli import build

BLOCK = re.compile(r"```json\n(.*?)```", re.DOTALL)


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(build("decide"), ["decide", *map(str, words)])


@pytest.fixture
def example(repository: Path, tmp_path: Path) -> tuple[Path, Path, dict[str, object]]:
    """Write the files of the document's example; the answer that it prints comes with them."""
    request, consent, answer = BLOCK.findall((repository / "docs" / "consent.md").read_text())
    (tmp_path / "request.json").write_text(request)
    (tmp_path / "consent.json").write_text(consent)
    return tmp_path / "request.json", tmp_path / "consent.json", json.loads(answer)


AT = ("--at", "2026-05-01T10:00:00Z")


def test_consent_cli_example_of_the_document(
    example: tuple[Path, Path, dict[str, object]],
) -> None:
    """The example in docs/consent.md prints what the document says."""
    request, consent, answer = example
    done = run("--request", request, "--consent", consent, *AT, "--json")
    assert done.exit_code == 0
    said = json.loads(done.stdout)
    assert {key: said[key] for key in answer} == answer


def test_consent_cli_for_people(example: tuple[Path, Path, dict[str, object]]) -> None:
    """Without --json a privacy officer reads the verdict, the obligations and the reasons."""
    request, consent, _ = example
    done = run("--request", request, "--consent", consent, *AT)
    assert "PERMIT" in done.stdout
    assert "redact" in done.stdout
    assert "Considered" in done.stdout


def test_consent_cli_without_consent(example: tuple[Path, Path, dict[str, object]]) -> None:
    """No consent at all is an answer, not a failure."""
    done = run("--request", example[0], "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["code"] == "consent-missing"


def test_consent_cli_policy_file(
    example: tuple[Path, Path, dict[str, object]], tmp_path: Path
) -> None:
    """Switches come from a YAML file; a misspelt one is named with the nearest that exists."""
    policy = tmp_path / "policy.yaml"
    policy.write_text("default: permit\nzone: Europe/Berlin\n")
    done = run("--request", example[0], "--policy", policy, "--json")
    assert json.loads(done.stdout)["decision"] == "permit"
    policy.write_text("nested_typ: invert\n")
    done = run("--request", example[0], "--policy", policy)
    assert done.exit_code == 1
    assert "nested_type" in done.stderr


@pytest.mark.parametrize("text", ["", "{", "[]", "3"])
def test_consent_cli_request_that_is_none(tmp_path: Path, text: str) -> None:
    """A request that cannot be read ends with exit code 1 and no traceback."""
    (tmp_path / "r.json").write_text(text)
    done = run("--request", tmp_path / "r.json")
    assert done.exit_code == 1
    assert "C001" in done.stderr


def test_consent_cli_misuse(example: tuple[Path, Path, dict[str, object]]) -> None:
    """A missing file or an instant that is none is misuse: exit code 2."""
    assert run("--request", "/nowhere/r.json").exit_code == 2
    assert run("--request", example[0], "--at", "yesterday").exit_code == 2
