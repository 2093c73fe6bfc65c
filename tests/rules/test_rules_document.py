"""The examples of docs/rules.md and docs/review.md work as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from engine.config.review import CODES
from engine.rules.finding import KINDS
from engine.rules.rule_cases import run_rule_cases
from engine.rules.rule_files import load_rules

DOCS = Path(__file__).resolve().parents[2] / "docs"
BLOCK = re.compile(r"```yaml\n(.*?)```", re.DOTALL)


def test_the_rules_of_the_document_pass_their_own_cases(tmp_path: Path) -> None:
    """Every kind of rule in docs/rules.md loads, and its cases prove it both ways."""
    *rules, cases = BLOCK.findall((DOCS / "rules.md").read_text())
    path = tmp_path / "document.yaml"
    path.write_text("\n".join(rules))
    (tmp_path / "document.test.yaml").write_text(cases)
    book, problems = load_rules(tmp_path)
    done, more = run_rule_cases(book, path, "document.yaml")
    assert [each.text() for each in (*problems, *more)] == []
    assert [case.problem for case in done if case.problem] == []
    assert len(book.everything) == 3


@pytest.mark.parametrize("code", KINDS)
def test_every_kind_of_finding_is_documented_and_configurable(code: str) -> None:
    """docs/review.md has each code in its table, and configuration an outcome for it."""
    assert f"`{code}`" in (DOCS / "review.md").read_text()
    assert code in CODES


def test_the_configuration_of_the_document_names_what_exists() -> None:
    """The outcomes of the example are kinds of finding."""
    (example,) = BLOCK.findall((DOCS / "review.md").read_text())
    outcomes = yaml.safe_load(example)["coordination"]["review"]["outcomes"]
    assert set(outcomes) <= set(KINDS)
