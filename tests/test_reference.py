"""The reference of the mapping language is fresh, whole, and every example in it was run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engine.codes.mapping import CODES as MAPPING_CODES
from engine.reference.examples import examples, outcome
from engine.reference.page import page
from engine.schemas import SCHEMAS
from engine.transform.cases import KEYS
from engine.transform.mapping import DIRECTIONS
from engine.transform.read import TOP
from engine.transform.read_rules import MAIN, MISSES, RULE_KEYS
from engine.transform.registry import FUNCTIONS
from engine.transform.selectors import FUNCTIONS as SELECTORS
from engine.transform.tables import COLUMNS, RELATIONSHIPS

DOCS = Path(__file__).parent.parent / "docs"
WRITTEN = "\n".join(
    text for one in examples().values() for text in (one.text, one.cases, *one.files.values())
)
"""Everything that examples write, one after the other."""


@pytest.mark.parametrize("name", examples())
def test_an_example_does_what_it_shows(name: str) -> None:
    """It becomes what is shown, both ways unless one is named, or is refused by its code."""
    assert outcome(name).wrong == []


def test_the_page_is_fresh() -> None:
    """docs/mapping-reference.md is what the definitions and the examples give."""
    copy = (DOCS / "mapping-reference.md").read_text(encoding="utf-8")
    assert copy == page(), "run `python -m engine.reference > docs/mapping-reference.md`"


def test_every_example_is_on_the_page_and_nothing_else_is() -> None:
    """Each example stands once; no block stands there that was not run."""
    text = page()
    for example in examples().values():
        assert text.count(f"**{example.about}**") == 1, example.name
    blocks = re.findall(r"^```(?:yaml|csv|json)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert {block for block in blocks if block.rstrip("\n") not in WRITTEN} == set()


@pytest.mark.parametrize(
    "word",
    sorted({*TOP, *MAIN, *RULE_KEYS, "take", *KEYS, *COLUMNS, *SELECTORS, *DIRECTIONS}),
)
def test_every_word_of_the_language_has_an_example(word: str) -> None:
    """Each key, operation, option, column and function of conditions is used by an example."""
    assert re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", WRITTEN)


@pytest.mark.parametrize("word", MISSES)
def test_every_answer_to_an_unknown_code_has_an_example(word: str) -> None:
    """Each word of `on_miss` is shown at work."""
    assert re.search(rf"(on_miss|to_canonical): {word}\b", WRITTEN)


def test_every_refusal_of_a_mapping_file_is_told() -> None:
    """The page lists each code of files and of messages, and every function and relationship."""
    text = page()
    for word in (*(code.code for code in MAPPING_CODES), *FUNCTIONS, *RELATIONSHIPS):
        assert word in text


def test_the_schema_takes_what_examples_write() -> None:
    """What an example may write, an editor's schema knows."""
    assert set(SCHEMAS["mapping"]()["properties"]) == set(TOP)
