"""Analysts' rules on the command line: linted like mappings, and their cases run."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from engine.cli import build

RULE = """rules:
  - name: plan-says-from-when
    when: {{type: CarePlan, path: status = 'active'}}
    check: {check}
    outcome: task
    message: An active plan says from when it holds.
"""
CASES = """cases:
  - name: without a start
    rule: plan-says-from-when
    input: {{resourceType: CarePlan, status: active}}
    expect: {without}
  - name: with a start
    rule: plan-says-from-when
    input: {{resourceType: CarePlan, status: active, period: {{start: 2026-01-01}}}}
    expect: met
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a project with nothing but one rule, which is right, and its cases."""
    (tmp_path / "mappings").mkdir()
    (tmp_path / "rules").mkdir()
    write(tmp_path)
    return tmp_path


def write(folder: Path, check: str = "period.start.exists()", without: str = "broken") -> None:
    (folder / "rules" / "own.yaml").write_text(RULE.format(check=check))
    (folder / "rules" / "own.test.yaml").write_text(CASES.format(without=without))


def run(command: str, folder: Path) -> Result:
    return CliRunner().invoke(build(command), [command, str(folder)])


def test_a_rule_that_is_right_is_clean_and_passes(folder: Path) -> None:
    """Exit code 0 from both commands."""
    for command in ("lint", "test"):
        done = run(command, folder)
        assert done.exit_code == 0, done.output


def test_lint_says_where_a_rule_is_wrong(folder: Path) -> None:
    """A misspelt element is an error with file, line, code and the nearest name."""
    write(folder, check="perod.start.exists()")
    done = run("lint", folder)
    assert done.exit_code == 1
    assert "own.yaml:4:" in done.output
    assert "did you mean 'period'" in done.output


def test_a_case_that_fails_is_told(folder: Path) -> None:
    """The case, what it expected and what came; exit code 1."""
    write(folder, without="met")
    done = run("test", folder)
    assert done.exit_code == 1
    assert "without a start" in done.output
