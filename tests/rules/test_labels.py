"""The labelling step: codes call for labels, labels are only added, words stay unlabelled."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import document
from engine.rules.labels import is_minor, label
from engine.rules.security_label import ACT_CODE, CONFIDENTIALITY, inline_labels, resource_labels
from engine.rules.sensitivity import SHIPPED, SensitivityTable, load_tables, parse_table, read_table
from engine.validate import validate

ICD = "http://hl7.org/fhir/sid/icd-10-cm"


@pytest.fixture(scope="module", name="table")
def shipped_table() -> SensitivityTable:
    """Return the table that comes with Carelane."""
    table, problems = read_table()
    assert problems == []
    assert table is not None
    return table


def coded(code: str, system: str = ICD) -> dict:
    return {"coding": [{"system": system, "code": code}]}


def condition(code: str, **more: object) -> dict:
    return {
        "resourceType": "Condition",
        "id": "c",
        "code": coded(code),
        "subject": {"reference": "Patient/1"},
        **more,
    }


@pytest.mark.parametrize(
    ("code", "system", "expected"),
    [
        ("F10.20", ICD, "ETHUD"),
        ("F11.20", ICD, "OPIOIDUD"),
        ("F14.1", ICD, "SUD"),
        ("f33.1", ICD, "MH"),
        ("B20", ICD, "HIV"),
        ("Z21", ICD, "HIV"),
        ("A54.9", ICD, "STD"),
        ("Z30.09", ICD, "SEX"),
        ("T7421XA", ICD, "SDV"),
        ("D57.1", ICD, "SICKLE"),
        ("86406008", "http://snomed.info/sct", "HIV"),
        ("82667-7", "http://loinc.org", "SUD"),
        ("6813", "http://www.nlm.nih.gov/research/umls/rxnorm", "OPIOIDUD"),
        ("90837", "http://www.ama-assn.org/go/cpt", "PSYTHPN"),
        ("B20", "urn:oid:2.16.840.1.113883.6.90", "HIV"),
        ("261QM2800X", "http://nucc.org/provider-taxonomy", "OPIOIDUD"),
    ],
)
def test_a_listed_code_is_restricted_and_named(
    table: SensitivityTable, code: str, system: str, expected: str
) -> None:
    """A code of the table gets its sensitivity and confidentiality R."""
    resource = condition(code)
    resource["code"] = coded(code, system)
    labels = resource_labels(label(resource, table))
    assert (ACT_CODE, expected) in labels
    assert (CONFIDENTIALITY, "R") in labels


def test_other_coded_content_is_normal(table: SensitivityTable) -> None:
    """A code that the table could list and does not is labelled N."""
    assert resource_labels(label(condition("E11.9"), table)) == {(CONFIDENTIALITY, "N")}


@pytest.mark.parametrize(
    "resource",
    [
        condition("X1") | {"code": {"coding": [{"system": "http://acme.example", "code": "X1"}]}},
        condition("E11.9") | {"code": {"text": "as discussed"}},
        condition("E11.9", note=[{"text": "as discussed"}]),
    ],
    ids=["unknown system", "words only", "words beside the code"],
)
def test_what_no_code_explains_stays_unlabelled(table: SensitivityTable, resource: dict) -> None:
    """Words and codes of unknown systems are not called normal: they stay unlabelled."""
    assert label(resource, table) == resource


def test_text_payload_is_unlabelled_unless_labelled(table: SensitivityTable) -> None:
    """A payload of words gets no label, since nobody here reads it."""
    message = {
        "resourceType": "Communication",
        "status": "completed",
        "payload": [{"contentString": "B20 F10.20 see notes"}],
    }
    assert label(message, table)["payload"] == message["payload"]


def test_entries_are_labelled_each_for_itself(table: SensitivityTable) -> None:
    """One sensitive activity of a plan does not make the others sensitive."""
    plan = {
        "resourceType": "CarePlan",
        "status": "active",
        "intent": "plan",
        "activity": [
            {
                "detail": {
                    "status": "scheduled",
                    "code": coded("6813", "http://www.nlm.nih.gov/research/umls/rxnorm"),
                }
            },
            {"detail": {"status": "scheduled", "code": coded("E11.9")}},
        ],
    }
    done = label(plan, table)
    assert (ACT_CODE, "OPIOIDUD") in inline_labels(done["activity"][0])
    assert inline_labels(done["activity"][1]) == {(CONFIDENTIALITY, "N")}
    assert resource_labels(done) == frozenset()


def test_contained_resources_are_labelled(table: SensitivityTable) -> None:
    """A contained resource is labelled for itself, where FHIR lets a label stand (dom-5)."""
    message = {
        "resourceType": "Communication",
        "status": "completed",
        "contained": [condition("B20")],
        "payload": [{"contentReference": {"reference": "#c"}}],
    }
    done = label(message, table)
    assert (ACT_CODE, "HIV") in inline_labels(done["contained"][0])
    assert "meta" not in done["contained"][0]


def test_a_stated_label_stays(table: SensitivityTable) -> None:
    """A label that a sender set is never lowered or replaced."""
    security = [{"system": CONFIDENTIALITY, "code": "V"}]
    done = label(condition("B20", meta={"security": security}), table)
    assert done["meta"]["security"][0] == security[0]
    assert (CONFIDENTIALITY, "V") in resource_labels(done)
    assert label(condition("E11.9", meta={"security": security}), table)["meta"] == {
        "security": security
    }


def test_an_entry_of_a_restricted_message_is_not_called_normal(table: SensitivityTable) -> None:
    """A message labelled R as a whole keeps its coded entries R."""
    message = {
        "resourceType": "Communication",
        "meta": {"security": [{"system": CONFIDENTIALITY, "code": "R"}]},
        "status": "completed",
        "reasonCode": [coded("E11.9")],
    }
    assert label(message, table) == message


def test_a_minors_confidential_service_is_marked(table: SensitivityTable) -> None:
    """A service that a minor may seek in confidence gets the adolescent label as well."""
    done = label(condition("Z30.09"), table, minor=True)
    assert (ACT_CODE, "ADOL") in resource_labels(done)
    assert (ACT_CODE, "ADOL") not in resource_labels(label(condition("G30"), table, minor=True))


@pytest.mark.parametrize(
    ("born", "expected"),
    [("2010-05-01", True), ("2008-05-01", False), ("2008", True), ("2007", False), (None, False)],
)
def test_who_may_be_a_minor_is_one(born: str | None, expected: bool) -> None:
    """A birth date without day counts as its last day; without any nothing says so."""
    patient = {"resourceType": "Patient", "birthDate": born} if born else {}
    assert is_minor(patient, "2026-05-01T10:00:00Z") is expected


CODES = st.sampled_from(["F10.2", "B20", "E11.9", "I10", "Z30", "D57", "F33", "A50"])


@given(codes=st.lists(CODES, min_size=1, max_size=4), stated=st.booleans())
def test_labelling_twice_is_labelling_once(
    table: SensitivityTable, codes: list[str], stated: bool
) -> None:
    """Labelling is idempotent, adds only, and does not change its input."""
    message: dict = {
        "resourceType": "Communication",
        "status": "completed",
        "contained": [condition(code) | {"id": f"c{n}"} for n, code in enumerate(codes)],
        "reasonCode": [coded(code) for code in codes],
        "payload": [{"contentReference": {"reference": f"#c{n}"}} for n in range(len(codes))],
    }
    if stated:
        message["meta"] = {"security": [{"system": ACT_CODE, "code": "HIV"}]}
    before = copy.deepcopy(message)
    once = label(message, table)
    assert message == before
    assert label(once, table) == once
    assert validate(once) == []
    for old, new in zip(message["contained"], once["contained"], strict=True):
        assert inline_labels(old) <= inline_labels(new)


def test_a_project_may_add_tables(tmp_path: Path) -> None:
    """Several tables count together; a fault in any of them loads none."""
    own = tmp_path / "own.yaml"
    own.write_text(
        "sensitivity: own\nversion: 1\n"
        "systems: {local: {uri: http://acme.example/codes, match: exact}}\n"
        "topics: {vip: {title: VIP, labels: [VIP], confidentiality: V, codes: {local: [X1]}}}\n"
    )
    table, problems = load_tables([SHIPPED, own])
    assert problems == []
    assert table is not None
    assert [one.name for one in table.topics("http://acme.example/codes", "X1")] == ["vip"]
    assert [one.name for one in table.topics(ICD, "B20")] == ["hiv"]
    assert load_tables()[0] is not None
    own.write_text("sensitivity: own")
    assert load_tables([SHIPPED, own])[0] is None


FAULTS = {
    "topics: {a: {title: A, labels: [X], confidentiality: Q, codes: {icd: [A]}}}": "N003",
    "topics: {a: {title: A, labels: [X], confidentiality: R, codes: {icdd: [A]}}}": "N002",
    "topics: {a: {title: A, labels: [X], confidentiality: R, codes: {icd: [A, A]}}}": "N004",
    "topics: {a: {title: A, labels: [X], confidentiality: R, codes: {icd: A}}}": "N003",
    "topics: {a: {title: A, labels: [X], confidentiality: R, codes: {icd: [F9-F1]}}}": None,
    "topics: {a: {title: A, labels: [X], confidentiality: R, codes: {icd: [F19-F10]}}}": "N003",
    "topics: {a: {title: A, labels: [], confidentiality: R, codes: {icd: [A]}}}": "N001",
    "topics: {a: {titel: A, labels: [X], confidentiality: R, codes: {icd: [A]}}}": "N002",
    "topics: {}\nminors: {topics: [b], labels: [ADOL]}": "N002",
    "topic: {}": "N002",
}


@pytest.mark.parametrize(("text", "code"), list(FAULTS.items()))
def test_a_bad_table_does_not_load(text: str, code: str | None) -> None:
    """Each fault of a table is named with its place, and a faulty table is none."""
    head = "sensitivity: t\nversion: 1\nsystems: {icd: {uri: http://icd.example, match: prefix}}\n"
    root, _ = document.parse(head + text, "table.yaml")
    assert root is not None
    table, problems = parse_table(root)
    if code is None:
        assert table is not None
        return
    assert table is None
    found = {problem.code: problem for problem in problems}
    assert code in found
    assert found[code].place is not None
    assert found[code].place.file == "table.yaml"
