"""What an analyst gets wrong is refused where it stands, never passed over."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from makings import FIELDS, HEAD, STATUS, TABLE, adapter, load, mapping

from engine.transform.cases import run_cases

FIRST = len(HEAD.splitlines()) + 2
"""The line of the first field."""
ROLE = {"tables/role.csv": TABLE, "tables/status.yaml": STATUS}
PARTS = "{fields: {role: copy, member: copy, onBehalfOf: copy, period: copy}}"


def _line(name: str) -> int:
    return FIRST + list(FIELDS).index(name)


def _said(root: Path, text: str, files: Mapping[str, str] | None = None) -> list[tuple[str, int]]:
    return [(p.code, p.place.line if p.place else 0) for p in load(root, text, files).problems]


@pytest.mark.parametrize(
    ("name", "rule", "code"),
    [
        ("subject", "{ref: Patient, rest: reject}", "M029"),
        ("subject", "{ref: Patient, otherwise: reject}", "M029"),
        ("subject", "{ref: []}", "M003"),
        ("name", "{to: []}", "M003"),
        ("identifier", "{identifier: {'urn:a': }}", "M003"),
        ("identifier", "{identifier: {'urn:a': [b]}}", "M003"),
        ("status", "{table: status, on_miss: {default: }}", "M003"),
        ("status", "{table: status, on_miss: {default: [a]}}", "M003"),
        ("status", "{table: status, on_miss: {default: bogus}}", "M038"),
        ("category", "{coding: role, on_miss: {default: {system: , code: x}}}", "M003"),
        ("category", "{coding: role, on_miss: {default: {system: 'http://a.example'}}}", "M018"),
        ("reasonReference", "{function: references-within}", "M029"),
        (
            "category",
            "{function: ensure-coding, arguments: {systm: 'http://a.example', code: a}}",
            "M029",
        ),
        ("period", "{function: open-end, arguments: {end: never}}", "M029"),
        ("note", "{when: \"status = 'actve'\", otherwise: carry}", "M038"),
        ("note", '{when: "extension.value.exists()", otherwise: carry}', "M006"),
        ("note", '{when: "extension.value.ofType(strng).exists()", otherwise: carry}', "M006"),
        ("note", '{when: "contained.ofType(Pateint).exists()", otherwise: carry}', "M006"),
        ("name", "{to_canonical: nmae.upper(), to_dialect: name}", "M006"),
        ("name", "{to_canonical: name, to_dialect: participant.role.tetx.first()}", "M007"),
        ("name", "{to_canonical: name.uper(), to_dialect: name}", "M027"),
    ],
)
def test_a_rule_that_would_do_nothing_or_harm_is_refused(
    name: str, rule: str, code: str, tmp_path: Path
) -> None:
    """Idle options, values that are no text, codes and names that never come: at their line."""
    assert (code, _line(name)) in _said(tmp_path, mapping({name: rule}), ROLE)


@pytest.mark.parametrize(
    "expression",
    [
        "extension.where(url = 'http://a.example').valueCode",
        "meta.extension('http://a.example').valueCodeableConcept.coding.code.first()",
        "contained.where(resourceType = 'Practitioner').name.family.first()",
        "name.where($this is System.String or $this is FHIR.string)",
    ],
)
def test_an_expression_reaches_into_extensions_and_contained_resources(
    expression: str, tmp_path: Path
) -> None:
    """Their elements are no misspelt ones of the type that holds them."""
    rule = f'{{to_canonical: "{expression}", to_dialect: name}}'
    assert not _said(tmp_path, mapping({"name": rule}), ROLE)


@pytest.mark.parametrize(
    "case",
    [
        "drop: nobody reads it",
        "carry: kept for later",
        "function: open-end",
        "to_canonical: text",
        "cross_version: 'http://a.example'",
        "split: [{when: 'text.exists()', to: reasonCode}]",
        "otherwise: reject",
        "first: true",
    ],
)
def test_a_case_of_a_split_takes_an_item_to_one_place(case: str, tmp_path: Path) -> None:
    """Whatever else it says is refused: it could not be done."""
    split = f"\n    split: [{{when: 'text.exists()', {case}}}]\n    rest: carry"
    assert ("M029", _line("reasonCode") + 1) in _said(tmp_path, mapping({"reasonCode": split}))


def test_a_case_that_no_item_reaches_is_refused(tmp_path: Path) -> None:
    """The one before it, with the same condition, takes each."""
    split = (
        "\n    split:\n      - {when: 'text.exists()', to: reasonCode}"
        "\n      - {when: 'text.exists()', to: category}\n    rest: carry"
    )
    changes = {"reasonCode": split, "category": None}
    assert ("M012", _line("reasonCode") + 2) in _said(tmp_path, mapping(changes))


@pytest.mark.parametrize("first", ["participant[]", "participant[].role"])
def test_an_inner_element_with_two_rules_is_refused_in_either_order(
    first: str, tmp_path: Path
) -> None:
    """A dotted path does not replace what stands under `fields:`, nor the other way round."""
    whole, dotted = f"  participant[]: {PARTS}\n", "  participant[].role: {drop: not told}\n"
    lines = [whole, dotted] if first == "participant[]" else [dotted, whole]
    text = mapping({"participant": None}).rstrip("\n") + "\n" + "".join(lines)
    assert ("M012", len(text.splitlines())) in _said(tmp_path, text)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ("{to_canonical: {name: true}}", "M028"),
        ("{to_canonical: {period: {start: 2026-13-45}}}", "M028"),
        ("{to_dialect: {status: actve}}", "M038"),
        ("{to_canonical: {telecom: [{rank: first}]}}", "M028"),
        ("{to_canonical: {meta: {lastUpdated: 2026-05-01}}}", "M028"),
    ],
)
def test_a_default_is_a_value_of_its_element(given: str, code: str, tmp_path: Path) -> None:
    """Another type would be sent as no FHIR."""
    text = mapping(tail=f"defaults: {given}\n")
    assert (code, len(text.splitlines())) in _said(tmp_path, text)


def test_a_number_that_stands_for_a_text_is_written_as_text(tmp_path: Path) -> None:
    """YAML reads digits as a number; a name and a code are text."""
    text = mapping(tail="defaults: {to_canonical: {name: 5}}\n")
    plan = load(tmp_path, text).mappings["home/careteam"].plan
    assert plan is not None
    assert [value.value for value in plan.defaults["to_canonical"]] == ["5"]


def test_what_only_canonical_has_knows_no_condition(tmp_path: Path) -> None:
    """Conditions are asked of the dialect; here one would be passed over."""
    tail = 'canonical_only:\n  note: {drop: not theirs, when: "name.exists()", otherwise: reject}\n'
    text = mapping({"note": "{drop: not ours}"}, tail=tail)
    assert ("M029", len(text.splitlines())) in _said(tmp_path, text)


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://hl7.org/fhir/4.0/StructureDefinition/extension-CareTeam.encouter", "M029"),
        ("http://hl7.org/fhir/5.0/StructureDefinition/extension-CareTeam.encounter", "M029"),
        ("https://hl7.org/fhir/4.0/StructureDefinition/extension-CareTeam.encounter", "M029"),
        ("http://hl7.org/fhir/4.0/StructureDefinition/extension-CareTeam.name", "M029"),
        ("http://hl7.org/fhir/StructureDefinition/extension-CareTeam.encounter", "M029"),
        ("http://hl7.org/fhir/4.0/StructureDefinition/careteam-encounter", "M029"),
        ("CareTeam.encounter", "M003"),
    ],
)
def test_a_cross_version_extension_is_the_one_of_its_element(
    url: str, code: str, tmp_path: Path
) -> None:
    """Under another url no other system would find the element."""
    changes = {"encounter": f"{{cross_version: '{url}'}}"}
    text = mapping(changes, tail="canonical_only: {encounter: {drop: said there}}\n")
    assert _said(tmp_path, text) == [(code, _line("encounter"))]


@pytest.mark.parametrize(
    "url",
    [
        "http://hl7.org/fhir/StructureDefinition/event-visit",
        "https://hospital.example/fhir/StructureDefinition/extension-visit",
        "urn:oid:1.2.3",
    ],
)
def test_an_element_may_travel_in_another_extension(url: str, tmp_path: Path) -> None:
    """One of HL7 for all versions, or of the project's own, is no misspelt one of FHIR's."""
    changes = {"encounter": f"{{cross_version: '{url}'}}"}
    text = mapping(changes, tail="canonical_only: {encounter: {drop: said there}}\n")
    assert _said(tmp_path, text) == []


def test_two_elements_do_not_share_an_extension(tmp_path: Path) -> None:
    """The way back could not tell them apart."""
    same = "{cross_version: 'http://a.example/one'}"
    tail = "canonical_only: {name: {drop: said there}, encounter: {drop: said there}}\n"
    text = mapping({"name": same, "encounter": same}, tail=tail)
    assert _said(tmp_path, text) == [("M012", _line("encounter"))]


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ("start: canonicl", "M003"),
        ("diagnostics: {T001: x}", "M033"),
        ("absent: {name: x}", "M033"),
    ],
)
def test_a_case_that_would_prove_something_else_is_refused(
    more: str, code: str, tmp_path: Path
) -> None:
    """A start that does not exist, and matchers that are no words."""
    text = (
        "cases:\n  - name: a\n    direction: round_trip\n"
        f"    input: {{resourceType: CareTeam, name: a}}\n    {more}\n"
    )
    made = adapter(tmp_path, mapping(), {"home/careteam.test.yaml": text})
    _, _, problems = run_cases(made, "mappings/home/careteam.yaml")
    assert [(p.code, p.place.line) for p in problems if p.place] == [(code, 5)]


@pytest.mark.parametrize(
    "name",
    [
        "home/careplan.yml",
        "home/carteam.test.yaml",
        "home/carteam.certificate.yaml",
        "home/CarePlan.YAML",
        "careplan.yaml",
        "home/more/careplan.yaml",
        "tables/reason.tsv",
        "tables/reason.CSV",
    ],
)
def test_a_file_that_nothing_reads_is_named(name: str, tmp_path: Path) -> None:
    """A mapping, its cases or a table under a wrong name would be without effect."""
    problems = load(tmp_path, mapping(), {name: ""}).problems
    assert [(p.code, p.place and p.place.file) for p in problems] == [("M041", f"mappings/{name}")]


def test_what_is_no_mapping_may_lie_beside_them(tmp_path: Path) -> None:
    """Notes, samples and hidden files are nobody's business."""
    beside = ["README.md", "home/notes.txt", "home/samples/a.json", "tables/.b.yml", ".git/c.yml"]
    assert not load(tmp_path, mapping(), dict.fromkeys(beside, "")).problems


def test_two_mappings_for_one_type_of_a_dialect_are_refused(tmp_path: Path) -> None:
    """One of them would be without effect, and nobody could say which."""
    other = mapping().replace("home/careteam", "home/team")
    problems = load(tmp_path, mapping(), {"home/team.yaml": other}).problems
    assert [(p.code, p.place and p.place.file) for p in problems] == [
        ("M042", "mappings/home/team.yaml")
    ]
