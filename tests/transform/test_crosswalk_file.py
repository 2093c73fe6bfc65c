"""The crosswalk's CSV: groups of names, and every problem at its cell."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.transform.crosswalk import Key
from engine.transform.crosswalk_file import COLUMNS, read_crosswalk

HEAD = ",".join(COLUMNS)


def read(*rows: str, head: str = HEAD, systems: frozenset[str] | None = None):
    return read_crosswalk("\n".join([head, *rows]), "links.csv", systems)


def test_rows_with_one_word_mean_one_entity() -> None:
    """Reference and identifier of each row join the group; a row without a word stands alone."""
    groups, problems = read(
        "ann,Patient,mercy,Patient/1,http://m,A1",
        "ann,Patient,hub,Patient/7,,",
        "",
        ",Organization,,,http://npi,1",
        ",Organization,,,http://npi,2",
    )
    assert problems == []
    assert [list(group.keys) for group in groups] == [
        [
            Key("", "identifier", "Patient|http://m|A1"),
            Key("mercy", "reference", "Patient/1"),
            Key("hub", "reference", "Patient/7"),
        ],
        [Key("", "identifier", "Organization|http://npi|1")],
        [Key("", "identifier", "Organization|http://npi|2")],
    ]


def test_columns_may_stand_in_any_order_and_be_quoted() -> None:
    """The first line says what is where; quotes keep commas and quotes."""
    head = "type,identifier_value,identifier_system,reference,system,same_as"
    (group,), problems = read('Patient,"A,""1""",http://m,,,', head=head)
    assert problems == []
    assert list(group.keys) == [Key("", "identifier", 'Patient|http://m|A,"1"')]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (["a,patient,mercy,patient/1,,"], "2:3: K102"),
        (["a,Patient,mercy,Practitioner/1,,"], "2:17: K102"),
        (["a,Patient,mercy,Patient/1 2,,"], "2:17: K102"),
        (["a,Patient,,Patient/1,,"], "2:11: K102"),
        (["a,Patient,mercyy,Patient/1,,"], "2:11: K102"),
        (["a,Patient,,,http://m,"], "2:22: K102"),
        (["a,Patient,,,,A1"], "2:13: K102"),
        (["a,Patient,,,,"], "2:12: K102"),
        (["a,Patient,mercy"], "2:1: K102"),
        (['a,"Patient,mercy,Patient/1,,'], "2:1: K102"),
        (["a,Patient,,,m,1", "a,Organization,,,m,2"], "3:3: K103"),
        (["a,Patient,,,m,1", "b,Patient,,,m,1"], "3:15: K103"),
    ],
)
def test_problem_is_told_at_its_cell(rows: list[str], expected: str) -> None:
    """What is wrong with a row is said with file, line and column."""
    _, problems = read(*rows, systems=frozenset({"mercy", "hub"}))
    assert problems[0].text().startswith(f"links.csv:{expected}")


def test_misspelt_column_is_told_with_its_nearest_name() -> None:
    """A column that does not exist is refused before any row is read."""
    groups, problems = read("x", head=HEAD.replace("same_as", "sameas"))
    assert groups == []
    assert problems[0].text().startswith("links.csv:1:1: K101")
    assert "same_as" in str(problems[0].remedy)
    assert read(head="")[1][0].code == "K101"


@given(st.text(max_size=200))
def test_no_text_breaks_the_reader(text: str) -> None:
    """Whatever stands in the file, the answer is groups or problems."""
    groups, problems = read(text)
    assert all(problem.place for problem in problems)
    assert all(group.keys for group in groups)
