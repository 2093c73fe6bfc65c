"""Conditions of mappings: what holds, what is empty, and what is refused where."""

from __future__ import annotations

import pytest

from engine.transform.selectors import SelectorError, parse_condition

TREE = {
    "status": "active",
    "category": [
        {"coding": [{"system": "a", "code": "1"}, {"system": "b", "code": "2"}], "text": "one"},
        {"text": "two"},
    ],
    "onsetDateTime": "2026",
    "rank": 3,
    "closed": False,
    "input": [
        {"kind": "a", "valueInteger": 1},
        {"kind": "b", "valueInteger": 12},
        {"kind": "c", "valueString": "x"},
    ],
    "contained": [{"resourceType": "Patient", "id": "p"}],
}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("status = 'active'", True),
        ("status != 'active'", False),
        ("category.coding.where(system = 'b' and code = '2').exists()", True),
        ("category.coding.where(system = 'b' and code = '1').exists()", False),
        ("category.first().text = 'one'", True),
        ("category.text = 'one'", False),
        ("onset.ofType(dateTime).exists()", True),
        ("onset.ofType(Period).exists()", False),
        ("input.where(kind = 'b').value.ofType(integer) = 12", True),
        ("input.where(kind = 'a').value.ofType(integer) = 12", False),
        ("input.first().value.ofType(integer) = 1", True),
        ("input.where(value.ofType(integer) = 12).kind = 'b'", True),
        ("input.value.ofType(string) = 'x'", True),
        ("input.value.ofType(boolean).exists()", False),
        ("contained.ofType(Patient).id = 'p'", True),
        ("contained.where(id = 'p').ofType(Group).exists()", False),
        ("rank = 3 or status = 'x'", True),
        ("not(closed)", True),
        ("closed.not()", True),
        ("closed", False),
        ("nothing = 'x'", False),
        ("nothing != 'x'", False),
        ("(status = 'active') and category.exists()", True),
        ("status = 'it\\'s'", False),
    ],
)
def test_a_condition_holds_where_fhirpath_says_so(text: str, holds: bool) -> None:
    """The subset gives the answers of FHIRPath; what is empty does not hold."""
    assert parse_condition(text).holds(TREE) is holds


@pytest.mark.parametrize(
    ("text", "offset", "said"),
    [
        ("status ~ 'a'", 7, "'~'"),
        ("status.startsWith('a')", 7, "startsWith"),
        ("category[0].exists()", 8, "'['"),
        ("%resource.id", 0, "'%'"),
        ("status is code", 7, "'is'"),
        ("__class__", 0, "'_'"),
        ("status =", 8, "the end"),
        ("category.where(", 15, "the end"),
        ("('a'", 4, "the end"),
        ("status contains 'a'", 7, "contains"),
    ],
)
def test_anything_else_is_refused_by_name_with_its_place(text: str, offset: int, said: str) -> None:
    """What the subset does not have is refused at load, by name, at its character."""
    with pytest.raises(SelectorError) as refused:
        parse_condition(text)
    assert refused.value.offset == offset
    assert said in str(refused.value)


def test_a_condition_knows_the_paths_that_it_looks_at() -> None:
    """Each dotted path is known, inside where() too, so that a misspelt one is found."""
    names = parse_condition("category.coding.where(system = 'a').code = 'x'").names
    assert ("category", "coding", "system") in names
    assert ("category", "coding", "code") in names


def test_a_deep_condition_is_refused() -> None:
    """Nesting has a limit, so that a hostile condition cannot exhaust the stack."""
    with pytest.raises(SelectorError):
        parse_condition("(" * 500 + "status" + ")" * 500)


def test_a_condition_knows_what_it_compares_with_a_text() -> None:
    """Either side of a comparison may be the path; a variant stands there with its type."""
    made = parse_condition("'a' = status and input.where(value.ofType(code) != 'b').exists()")
    assert made.compared == ((("status",), "a"), (("input", "value:code"), "b"))
