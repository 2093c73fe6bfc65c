"""docs/guide.md: each statement of the guide names a test, and no test of the guide is missing."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from town import REPOSITORY

TESTS = Path(__file__).parent


def names_of_tests() -> set[str]:
    """Return the names of the tests that show the guide."""
    files = [file for file in TESTS.glob("test_guide*.py") if file.name != Path(__file__).name]
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in files]
    return {
        node.name
        for tree in trees
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def test_the_page_and_the_tests_name_each_other() -> None:
    """Every statement has its test, and every test its statement."""
    page = (REPOSITORY / "docs" / "guide.md").read_text(encoding="utf-8")
    named = re.findall(r"`(test_\w+)` \|$", page, re.MULTILINE)
    assert len(named) == len(set(named))
    assert set(named) == names_of_tests()
