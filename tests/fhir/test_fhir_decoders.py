"""The fast road, the explainer and fhir.resources agree on what is valid."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from strategies import resources

from engine.diagnostics import has_errors
from engine.fhir.decoders import decoders
from engine.fhir.explain import explain
from engine.fhir.json import dumps, loads
from engine.fhir.schema import Version, schema
from engine.validate import validate

OURS = ("CareTeam", "CarePlan", "Consent", "Communication")
CARRIED = (
    *OURS,
    "Patient",
    "RelatedPerson",
    "Practitioner",
    "PractitionerRole",
    "Organization",
    "Goal",
    "Task",
    "CommunicationRequest",
    "Provenance",
    "Coverage",
    "Binary",
    "DocumentReference",
)

STRICTER_ON_CORPUS = {
    "icanbwell+fhir-server/consent-actor-a-broad.json": "an empty list",
    "icanbwell+fhir-server/practitionerRoleDifferentSecurityTag.json": "an empty list",
    "icanbwell+fhir-server/practitionerRole__2.json": "an empty list",
    "MayJuun+fhir/communication-example-fm-attachment.json": "an R5 file: size as text",
}
"""Files that fhir.resources' R4B models accept and R4 does not, with the reason."""

STRICTER_ON_VALUES = {
    "CarePlan.status": ("bogus", "required codes are not checked by fhir.resources"),
    "CarePlan.instantiatesUri": (["http://a b"], "it finds \\S* anywhere, so spaces pass"),
    "CarePlan.title": ("x" * 1_048_577, "strings end at 1 MB"),
    "CarePlan.contributor": ([], "lists are never empty"),
    "CarePlan.period": ({}, "objects are never empty"),
    "CarePlan.extension": ([{"url": "http://a.example"}], "ext-1"),
}
"""Values that fhir.resources accepts and FHIR does not, with the reason."""

LAXER_ON_VALUES = {
    "Extension.valueUuid": ("urn:uuid:00000000-0000-1000-8000-000000000000", "it wants version 4"),
}
"""Values that FHIR accepts and fhir.resources does not, with the reason."""


def _model_accepts(tree: Any, version: Version) -> bool:
    try:
        schema(version).model(tree["resourceType"]).model_validate(tree)
    except ValidationError:
        return False
    return True


def _minimal() -> dict[str, Any]:
    return {
        "resourceType": "CarePlan",
        "status": "active",
        "intent": "plan",
        "subject": {"reference": "Patient/1"},
    }


@pytest.mark.parametrize("version", ["R4", "R5"])
@pytest.mark.parametrize("kind", CARRIED)
def test_generated_resources_pass_everywhere(kind: str, version: Version) -> None:
    """What is generated valid is accepted by decoder, explainer and model, and goes round."""

    @settings(max_examples=12 if kind in OURS else 5)
    @given(resources(kind, version))
    def check(tree: dict[str, Any]) -> None:
        assert decoders(version).refusal(tree) is None
        assert explain(tree, version) == []
        assert _model_accepts(copy.deepcopy(tree), version)
        assert loads(dumps(tree)) == tree

    check()


def test_corpus_files_are_judged_alike(shared: Path) -> None:
    """Decoder and fhir.resources give one verdict on every real file, but for a table."""
    index = json.loads((shared / "corpus" / "index.json").read_bytes())
    known, accepted, different = decoders("R4"), 0, {}
    for entry in index:
        tree = loads((shared / "corpus" / "examples" / entry["file"]).read_bytes())
        refused = known.refusal(tree)
        accepted += refused is None
        assert (refused is None) == (explain(tree, "R4") == []), entry["file"]
        if entry["r4b_model_ok"] is not None and (refused is None) != (
            entry["r4b_model_ok"] is True
        ):
            different[entry["file"]] = refused
    print(f"{accepted} of {len(index)} corpus files are valid R4")
    assert different.keys() <= STRICTER_ON_CORPUS.keys()


@pytest.mark.parametrize("path", sorted(STRICTER_ON_VALUES))
def test_known_faults_that_fhir_resources_lets_pass(path: str) -> None:
    """Each fault of the table passes fhir.resources and is refused here at its path."""
    value, _ = STRICTER_ON_VALUES[path]
    tree = {**_minimal(), path.split(".")[1]: value}
    assert _model_accepts(copy.deepcopy(tree), "R4")
    assert decoders("R4").refusal(tree) is not None
    assert any(str(problem.path).startswith(path) for problem in explain(tree, "R4"))


def test_known_values_that_fhir_resources_refuses() -> None:
    """Each value of the table is FHIR, is accepted here, and is refused by fhir.resources."""
    url, _ = LAXER_ON_VALUES["Extension.valueUuid"]
    tree = {**_minimal(), "extension": [{"url": "http://a.example", "valueUuid": url}]}
    assert decoders("R4").refusal(tree) is None
    assert not _model_accepts(tree, "R4")


# --- mutants ------------------------------------------------------------------------------------


def _objects(node: Any, type_name: str, path: str) -> Iterator[tuple[dict[str, Any], str, str]]:
    """Yield every object of a tree with its type and path."""
    known = schema("R4")
    yield node, type_name, path
    for name, value in list(node.items()):
        element = known.type(type_name).elements.get(name)
        if element is None or element.is_primitive or element.type == "Resource":
            continue
        items = value if element.is_list else [value]
        for index, item in enumerate(items):
            inner = f"{path}.{name}[{index}]" if element.is_list else f"{path}.{name}"
            yield from _objects(item, element.type, inner)


def _mutants(node: dict[str, Any], type_name: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield kind, name of the spoilt element, and the object that takes the place of `node`."""
    found = schema("R4").type(type_name)
    yield "unknown", "colour", {**node, "colour": "red"}
    for name, element in found.elements.items():
        if name not in node or element.type in ("Extension", "Resource"):
            continue
        values = [node[name]] if not element.is_list else node[name]
        if element.codes:
            bad = ["bogus"] if element.is_list else "bogus"
            yield "code", name, {**node, name: bad}
        if element.required and not element.choice and f"_{name}" not in node:
            yield "missing", name, {k: v for k, v in node.items() if k != name}
        yield "list", name, {**node, name: values[0] if element.is_list else [values[0]]}
        wrong: Any = {"a": 1} if element.is_primitive else "text"
        yield "type", name, {**node, name: [wrong] if element.is_list else wrong}
        empty: Any = [] if element.is_list else "" if element.is_primitive else {}
        yield "empty", name, {**node, name: empty}
        others = found.choices().get(element.choice or "", ())
        for other in others:
            if other.name != name and other.type == "boolean":
                yield "choice", str(element.choice)[:-3], {**node, other.name: True}
    for name, element in found.elements.items():
        if element.type in ("date", "dateTime", "instant") and name in node:
            yield "date", name, {**node, name: ["2026-02-30"] if element.is_list else "2026-02-30"}


@pytest.mark.parametrize("kind", OURS)
def test_mutants_are_refused_with_their_path(kind: str) -> None:
    """One fault put anywhere into a valid resource is refused by the decoder, and found by path."""

    @settings(max_examples=10)
    @given(resources(kind), st.integers(0, 10_000))
    def check(tree: dict[str, Any], choice: int) -> None:
        places = list(_objects(tree, kind, kind))
        node, type_name, path = places[choice % len(places)]
        before = dict(node)
        for what, name, spoilt in _mutants(before, type_name):
            node.clear()
            node.update(spoilt)
            said = explain(tree, "R4")
            assert decoders("R4").refusal(tree) is not None, (what, path, name)
            assert any(str(p.path).startswith(f"{path}.{name}") for p in said), (what, path, name)
        node.clear()
        node.update(before)

    check()


@pytest.mark.parametrize(
    "tree",
    [
        None,
        [],
        "text",
        {},
        {"resourceType": None},
        {"resourceType": ["CareTeam"]},
        {"resourceType": "Nothing"},
        {"resourceType": "CareTeam", "": 1},
        {"resourceType": "CareTeam", "_": {}},
        {"resourceType": "CareTeam", "_subject": {}},
        {"resourceType": "CareTeam", "contained": [None, 1, {}, {"resourceType": 1}]},
        {"resourceType": "CareTeam", "contained": {"a": 1}},
        {"resourceType": "Bundle", "type": "batch", "entry": [None, 1, {"resource": 1}]},
        {"resourceType": "Bundle", "type": "batch", "entry": [{"resource": {}}]},
        {"resourceType": "Parameters", "parameter": [{"name": "a", "part": [{"resource": 1}]}]},
        {"resourceType": "Consent", "provision": []},
        {"resourceType": "Patient", "birthDate": 10**400},
        {"resourceType": "Patient", "multipleBirthInteger": True},
        {"resourceType": "Patient", "_given": [], "name": [{"given": [None], "_given": [None]}]},
        {"resourceType": "Patient", "extension": [{"url": "a", "valuePeriod": {"start": {}}}]},
    ],
)
def test_hostile_trees_are_refused_without_an_exception(tree: Any) -> None:
    """Whatever the tree, decoder and explainer answer with a refusal."""
    assert decoders("R4").refusal(tree) is not None
    assert has_errors(validate(tree))


@pytest.mark.parametrize("id", ["a", "a" * 64, "a" * 65, "a_b", "a\n", "", 5, None, ["a"]])
def test_where_all_else_is_known_the_id_decides(id: Any) -> None:
    """A resource of which nothing was written anew is valid if its id is; what is rare is not."""
    known, tree = decoders("R4"), {**_minimal(), "id": id}
    assert known.accepts(tree, frozenset()) == (known.refusal(tree) is None)
    assert known.accepts(tree, frozenset()) == known.accepts(tree, frozenset({"title"}))
    assert known.accepts(_minimal(), frozenset())
    assert not known.accepts({**tree, "_id": {"id": "a"}}, frozenset())
    assert not known.accepts({**tree, "contained": []}, frozenset())


@pytest.mark.parametrize(
    ("number", "passes"),
    [
        ("1", True),
        ("1.50", True),
        ("1.0e2", True),
        ("-0", True),
        ("1" + "0" * 30, True),
        ('"1.5"', False),
        ("true", False),
        ("null", False),
        ("[1]", False),
    ],
)
def test_a_decimal_is_a_number_however_it_is_written(number: str, passes: bool) -> None:
    """A decimal is any JSON number, and neither text nor truth; all ways of checking agree."""
    detail = {"status": "scheduled", "quantity": {"value": "?"}}
    text = json.dumps(_minimal() | {"activity": [{"detail": detail}]})
    tree = loads(text.replace('"?"', number).encode())
    known = decoders("R4")
    assert (known.refusal(tree) is None) == passes
    assert has_errors(validate(tree)) == (not passes)
    assert not known.accepts(tree, frozenset({"activity"})) or passes


ODD = (None, [], {}, "", 0, -1, True, "x y", [[]], [None], {"a": [{}]}, "#x", "2026-02-30", 10**30)


def _slots(node: Any) -> Iterator[tuple[Any, Any]]:
    keys = list(node) if isinstance(node, dict) else range(len(node))
    for key in keys:
        yield node, key
        if isinstance(node[key], (dict, list)):
            yield from _slots(node[key])


def test_spoilt_corpus_files_are_judged_alike(shared: Path) -> None:
    """However a real file is spoilt, decoder and explainer agree, and neither raises."""
    chance = random.Random(20260501)
    files = sorted((shared / "corpus" / "examples").rglob("*.json"))
    trees = [loads(file.read_bytes()) for file in files if file.stat().st_size < 12_000]
    for tree in trees * 4:
        spoilt = copy.deepcopy(tree)
        parent, key = chance.choice(list(_slots(spoilt)))
        odd = copy.deepcopy(chance.choice(ODD))
        beside = isinstance(parent, dict) and chance.random() < 0.2
        parent[f"_{key}" if beside else key] = odd
        refused = decoders("R4").refusal(spoilt)
        assert (refused is None) == (explain(spoilt, "R4") == []), (parent, key)
        assert has_errors(validate(spoilt)) == (refused is not None)


def test_a_tree_without_end_is_refused() -> None:
    """A nest deeper than Python's stack is a refusal, not an exception."""
    tree: dict[str, Any] = {"url": "a"}
    for _ in range(5000):
        tree = {"url": "a", "extension": [tree]}
    endless = {"resourceType": "CareTeam", "extension": [tree]}
    assert decoders("R4").refusal(endless) is not None
    assert has_errors(validate(endless))
