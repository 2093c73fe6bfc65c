"""The validate stage: what is valid passes silently, what is not is explained with its path."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.diagnostics import CODES, Severity, has_errors
from engine.fhir.json import loads
from engine.validate import validate


def _care_plan(**changes: Any) -> dict[str, Any]:
    return {
        "resourceType": "CarePlan",
        "status": "active",
        "intent": "plan",
        "subject": {"reference": "Patient/1"},
        **changes,
    }


def _told(tree: Any, fhir: Any = "R4") -> list[tuple[str, str | None]]:
    return [(problem.code, problem.path) for problem in validate(tree, fhir)]


def test_a_valid_resource_has_no_problems() -> None:
    """A valid resource is answered with an empty list."""
    assert validate(_care_plan()) == []


@pytest.mark.parametrize(
    ("change", "code", "path"),
    [
        ({"titel": "a"}, "V001", "CarePlan.titel"),
        ({"_subject": {"id": "a"}}, "V001", "CarePlan._subject"),
        ({"activity": [{"detail": {}}]}, "V007", "CarePlan.activity[0].detail"),
        (
            {"activity": [{"reference": {"display": "a"}}, {"detail": {"kind": "Task"}}]},
            "V002",
            "CarePlan.activity[1].detail.status",
        ),
        ({"category": {"text": "a"}}, "V003", "CarePlan.category"),
        ({"title": ["a"]}, "V003", "CarePlan.title"),
        ({"id": "a_b"}, "V004", "CarePlan.id"),
        ({"id": "a" * 65}, "V004", "CarePlan.id"),
        ({"created": "2026-02-30"}, "V004", "CarePlan.created"),
        ({"created": "2026-05-01T10:00"}, "V004", "CarePlan.created"),
        ({"status": "Active"}, "V005", "CarePlan.status"),
        ({"text": {"status": "generated", "div": ""}}, "V007", "CarePlan.text.div"),
        (
            {"instantiatesUri": ["a"], "_instantiatesUri": [None, {"id": "a"}]},
            "V008",
            "CarePlan.instantiatesUri",
        ),
        ({"contained": [{"resourceType": "Goals"}]}, "V009", "CarePlan.contained[0].resourceType"),
        (
            {"contained": [{"resourceType": "Group", "meta": {"versionId": "1"}}]},
            "V010",
            "CarePlan.contained[0].meta",
        ),
        (
            {"activity": [{"reference": {"display": "a"}, "detail": {"status": "unknown"}}]},
            "V011",
            "CarePlan.activity[0]",
        ),
        ({"period": {"start": "2026-05-02", "end": "2026-05-01"}}, "V011", "CarePlan.period"),
        ({"extension": [{"url": "http://a.example"}]}, "V011", "CarePlan.extension[0]"),
        ({"careTeam": [{"reference": "#team"}]}, "V012", "CarePlan.careTeam[0]"),
    ],
)
def test_each_fault_has_its_code_and_path(change: dict[str, Any], code: str, path: str) -> None:
    """Each kind of fault is told by its own code at the path where it stands."""
    assert (code, path) in _told(_care_plan(**change))
    assert code in CODES


def test_every_fault_is_told_in_one_answer() -> None:
    """Several faults in one resource are all named."""
    tree = _care_plan(status="bogus", titel="a", activity=[{"detail": {"kind": "Job"}}])
    assert {path for _, path in _told(tree)} == {
        "CarePlan.titel",
        "CarePlan.status",
        "CarePlan.activity[0].detail.kind",
        "CarePlan.activity[0].detail.status",
    }


def test_a_misspelt_name_and_code_have_a_remedy() -> None:
    """An unknown element and an unknown code name the nearest that exist."""
    remedies = {problem.remedy for problem in validate(_care_plan(status="actve", titel="a"))}
    assert remedies == {"did you mean 'active'?", "did you mean 'title'?"}


def test_entries_of_a_bundle_are_told_by_their_path() -> None:
    """A fault in a Bundle entry has the path of the entry."""
    entries = [{"resource": _care_plan()}, {"resource": _care_plan(status="bogus")}]
    tree = {"resourceType": "Bundle", "type": "collection", "entry": entries}
    assert _told(tree) == [("V005", "Bundle.entry[1].resource.status")]


def test_a_local_reference_of_an_entry_is_resolved_in_the_entry() -> None:
    """A reference into `contained` counts for the resource that has it, not for the Bundle."""
    team = {"resourceType": "CareTeam", "id": "t"}
    entry = {"resource": _care_plan(contained=[team], careTeam=[{"reference": "#t"}])}
    assert _told({"resourceType": "Bundle", "type": "collection", "entry": [entry]}) == []


def test_a_primitive_extension_stands_for_a_required_value() -> None:
    """A required primitive may be absent if an extension says why."""
    why = {"url": "http://a.example/why", "valueCode": "unknown"}
    tree = _care_plan(_status={"extension": [why]})
    del tree["status"]
    assert validate(tree) == []
    tree["_status"] = {"id": "a"}
    assert _told(tree) == [("V002", "CarePlan.status")]


def test_what_real_systems_break_every_day_is_a_warning() -> None:
    """A Consent without policy (ppc-1) and an unused contained resource (dom-3) are warnings."""
    tree = {
        "resourceType": "Consent",
        "status": "active",
        "scope": {"text": "a"},
        "category": [{"text": "a"}],
        "contained": [{"resourceType": "Group", "id": "g", "type": "person", "actual": True}],
    }
    problems = validate(tree)
    assert not has_errors(problems)
    assert [problem.severity for problem in problems] == [Severity.WARNING] * 2
    assert "ppc-1" in problems[0].message
    assert "dom-3" in problems[1].message


def test_versions_are_judged_by_their_own_rules() -> None:
    """An R5 Consent is valid R5 and invalid R4."""
    tree = {"resourceType": "Consent", "status": "active", "decision": "deny"}
    assert validate(tree, "R5") == []
    assert has_errors(validate(tree, "R4"))


def test_no_value_is_ever_told() -> None:
    """Diagnostics name elements and codes of tables, never a value of the resource."""
    secret = "Doe-1970"
    tree = _care_plan(
        id=f"{secret} x",
        status=secret,
        subject=secret,
        created=secret,
        activity=[secret],
        note=[{"text": secret, "time": secret, "authorReference": {"reference": f"#{secret}"}}],
    )
    problems = validate(tree)
    assert len(problems) >= 6
    assert all(secret not in problem.text() for problem in problems)


def test_answers_are_bounded() -> None:
    """A body with thousands of faults is answered with a few hundred, in short time."""
    tree = _care_plan(activity=[{"detail": {"status": "bogus"}}] * 5000)
    assert len(validate(tree)) == 200


def test_every_corpus_file_has_an_answer(shared: Path) -> None:
    """Each real file is valid or refused with a path; ends are counted, none is an exception."""
    index = json.loads((shared / "corpus" / "index.json").read_bytes())
    valid = refused = 0
    for entry in index:
        problems = validate(loads((shared / "corpus" / "examples" / entry["file"]).read_bytes()))
        errors = [problem for problem in problems if problem.severity is Severity.ERROR]
        assert all(problem.path for problem in errors)
        assert all(problem.code != "V014" for problem in errors), entry["file"]
        valid, refused = valid + (not errors), refused + bool(errors)
    print(f"{valid} corpus files are valid R4, {refused} are refused with a path")
    assert valid > 300
