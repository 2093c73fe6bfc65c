"""References are found wherever they stand, and split as FHIR writes them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from strategies import resources

from engine.fhir.json import loads
from engine.fhir.references import (
    contained_cycle,
    contained_id,
    contained_ids,
    distinct,
    is_urn,
    iter_references,
    literals_in,
    reference_type,
    references_of,
    split_conditional,
    split_reference,
)
from engine.fhir.schema import Version
from engine.samples.bundles import names, sample


def test_references_are_found_everywhere() -> None:
    """References in lists, backbones, contained resources and extensions are all yielded."""
    tree = {
        "resourceType": "CareTeam",
        "identifier": [{"system": "a", "value": "b", "assigner": {"display": "no target"}}],
        "subject": {"reference": "Patient/1"},
        "participant": [{"member": {"identifier": {"value": "x"}, "_display": {"id": "d"}}}],
        "extension": [{"url": "u", "valueReference": {"reference": "#a"}}],
        "contained": [
            {"resourceType": "Group", "identifier": [], "managingEntity": {"reference": "#"}}
        ],
    }
    assert [path for path, _ in iter_references(tree)] == [
        "CareTeam.subject",
        "CareTeam.participant[0].member",
        "CareTeam.extension[0].valueReference",
        "CareTeam.contained[0].managingEntity",
    ]
    assert references_of(tree) == [reference for _, reference in iter_references(tree)]


@pytest.mark.parametrize("name", names())
def test_references_are_found_without_their_paths_as_well(name: str) -> None:
    """The quick search finds the very same objects in the same order, in every sample."""
    tree = loads(sample(name))
    found = [id(reference) for reference in references_of(tree)]
    assert found == [id(reference) for _, reference in iter_references(tree)]


@pytest.mark.parametrize("version", ["R4", "R5"])
@pytest.mark.parametrize("kind", ["CarePlan", "Communication", "Consent", "Task", "Questionnaire"])
def test_without_extensions_references_are_found_where_fhir_has_them(
    kind: str, version: Version
) -> None:
    """Looking only where a Reference can stand finds just what looking everywhere finds."""

    @settings(max_examples=40, deadline=None)
    @given(tree=resources(kind, version))
    def check(tree: dict[str, Any]) -> None:
        bare = _unextended(tree)
        found = [id(reference) for reference in references_of(bare, extended=False)]
        assert found == [id(reference) for reference in references_of(bare)]

    check()


def _unextended(node: Any) -> Any:
    if isinstance(node, dict):
        kept = ((name, part) for name, part in node.items() if not name.endswith("xtension"))
        return {name: _unextended(part) for name, part in kept}
    return [_unextended(part) for part in node] if isinstance(node, list) else node


@pytest.mark.parametrize(
    "tree",
    [
        {"resourceType": "CarePlan", "misspelt": {"deep": [{"reference": "Patient/1"}]}},
        {"resourceType": "Nothing", "misspelt": {"reference": "Patient/1"}},
        {
            "resourceType": "Bundle",
            "entry": [{"resource": {"resourceType": "Task", "owner": {"reference": "Patient/1"}}}],
        },
        {
            "resourceType": "Task",
            "contained": [{"resourceType": "Nothing", "a": {"reference": "Patient/1"}}],
        },
        {"resourceType": "Task", "input": [{"valueReference": {"reference": "Patient/1"}}]},
        {
            "resourceType": "CarePlan",
            "identifier": [{"value": "a", "assigner": {"reference": "Patient/1"}}],
        },
        {"resourceType": "CarePlan", "subject": [{"reference": "Patient/1"}]},
        {"resourceType": "CarePlan", "_title": {"id": "a", "b": {"reference": "Patient/1"}}},
        {"resourceType": "CarePlan", "activity": [{"resourceType": {"reference": "Patient/1"}}]},
        {"resourceType": "CarePlan", "author": {"x": [{"y": {"reference": "Patient/1"}}]}},
    ],
)
def test_no_reference_stays_unfound_where_an_element_is_unknown(tree: dict[str, Any]) -> None:
    """What no FHIR version has, other resources inside, and elements of another shape count."""
    assert references_of(tree, extended=False) == [{"reference": "Patient/1"}]


@pytest.mark.parametrize("name", names())
def test_the_literals_of_all_references_are_found_in_the_text(name: str) -> None:
    """What the text of a sample tells is what its References say, each once, in their order."""
    tree = loads(sample(name))
    literals = [one["reference"] for _, one in iter_references(tree) if "reference" in one]
    assert literals_in(tree) == list(dict.fromkeys(literals))


@pytest.mark.parametrize("literal", ['a"b', "back\\slash", "Patient/1", "#", "日本", "a\nb"])
def test_no_literal_hides_in_the_text(literal: str) -> None:
    """Quotes and backslashes end no literal early, and words about a reference are none."""
    words = f'"reference":"{literal}"'
    tree = {"text": words, "a": [{"reference": literal, "display": words}], "b": words}
    assert literals_in(tree) == [literal]


def test_a_literal_counts_once_unless_an_identifier_stands_beside_it() -> None:
    """Among references with one literal only the first is kept; logical ones are all kept."""
    one, named = {"reference": "Patient/1"}, {"identifier": {"value": "x"}}
    both = {**one, **named}
    assert list(distinct([one, {**one, "display": "again"}, both, named, named])) == [
        one,
        both,
        named,
        named,
    ]


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("Patient/1", ("Patient", "1")),
        ("Patient/a-1.b/_history/2", ("Patient", "a-1.b")),
        ("https://a.example/fhir/Patient/1", ("Patient", "1")),
        ("Patient", None),
        ("#a", None),
        ("urn:uuid:1", None),
        ("Patient?identifier=a|b", None),
        ("ftp://a.example/Patient/1", None),
        ("Patient/with space", None),
    ],
)
def test_literal_references_are_split(text: str, pair: tuple[str, str] | None) -> None:
    """Relative and absolute literals give type and id; every other shape gives nothing."""
    assert split_reference(text) == pair


def test_other_shapes_are_told_apart() -> None:
    """Conditional, contained and URN references each have their own reader."""
    assert split_conditional("Patient?identifier=a|b") == ("Patient", "identifier=a|b")
    assert contained_id("#a") == "a"
    assert contained_id("Patient/1") is None
    assert is_urn("urn:uuid:c757873d-ec9a-4326-a141-556f43239520")
    assert reference_type({"reference": "urn:uuid:1", "type": "Patient"}) == "Patient"
    assert reference_type({"reference": "Group/1"}) == "Group"


def test_a_circle_of_contained_resources_is_found() -> None:
    """Contained resources that point at each other in a circle are named; a chain is no circle."""

    def inner(name: str, to: str) -> dict[str, object]:
        return {"resourceType": "Organization", "id": name, "partOf": {"reference": f"#{to}"}}

    circle = {"contained": [inner("a", "b"), inner("b", "a"), {"resourceType": "Group"}]}
    assert contained_cycle(circle) in [("a", "b", "a"), ("b", "a", "b")]
    assert contained_cycle({"contained": [inner("a", "b"), inner("b", "c")]}) is None
    assert contained_cycle({"contained": "none"}) is None
    assert set(contained_ids(circle)) == {"a", "b"}
