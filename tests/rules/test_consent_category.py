"""Policies by category: consents of one kind read otherwise than the rest, in one decision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from town import REPOSITORY, environment

from engine.diagnostics import Diagnostic
from engine.project import examine
from engine.rules.consent import Policy, decide

AT = "2026-05-01T10:00:00Z"
LOINC = "http://loinc.org"
ROI, OTHER = "64292-6", "59284-0"
REQUEST = {"patient": {"reference": "Patient/1"}, "recipient": [{"reference": "Organization/a"}]}


def consent(category: str, id: str = "k", **more: Any) -> dict[str, Any]:
    """Return a permit without any evidence of a signature."""
    return {
        "resourceType": "Consent",
        "id": id,
        "status": "active",
        "scope": {"coding": [{"code": "patient-privacy"}]},
        "category": [{"coding": [{"system": LOINC, "code": category}]}],
        "patient": {"reference": "Patient/1"},
        "performer": [{"reference": "Patient/1"}],
        "dateTime": "2026-01-01",
        "provision": {"type": "permit"},
        **more,
    }


def policy(**categories: Any) -> dict[str, Any]:
    return {"by_category": categories or {ROI: {"signature": "when-stated"}}}


@pytest.mark.parametrize("name", [ROI, f"{LOINC}|{ROI}"])
def test_only_consents_of_the_category_are_read_otherwise(name: str) -> None:
    """An unsigned form of the named kind permits; the same of another kind does not."""
    given = policy(**{name: {"signature": "when-stated"}})
    assert decide(REQUEST, [consent(ROI)], at=AT, policy=given).permitted
    refused = decide(REQUEST, [consent(OTHER)], at=AT, policy=given)
    assert refused.code == "consent-unsigned"


def test_the_same_code_of_another_system_is_another_category() -> None:
    """With a system named, a code from elsewhere does not loosen anything."""
    given = policy(**{f"urn:other|{ROI}": {"signature": "ignored"}})
    assert not decide(REQUEST, [consent(ROI)], at=AT, policy=given).permitted


def test_both_kinds_stand_in_one_decision() -> None:
    """A deny of the one kind holds beside a permit of the other."""
    deny = consent(OTHER, id="no", provision={"type": "deny"})
    decision = decide(REQUEST, [consent(ROI), deny], at=AT, policy=policy())
    assert (decision.decision, decision.code) == ("deny", "consent-denied")


def test_nested_provisions_follow_the_category_too() -> None:
    """nested_type is read for each consent by its own category."""
    nested = {"type": "permit", "provision": [{"type": "permit"}]}
    signed = {"sourceReference": {"reference": "DocumentReference/form"}}
    given = policy(**{ROI: {"nested_type": "invert"}})
    assert not decide(
        REQUEST, [consent(ROI, provision=nested, **signed)], at=AT, policy=given
    ).permitted
    assert decide(
        REQUEST, [consent(OTHER, provision=nested, **signed)], at=AT, policy=given
    ).permitted


def test_the_first_category_listed_counts() -> None:
    """Where two entries fit, the order of the file decides."""
    first = policy(**{f"{LOINC}|{ROI}": {"signature": "required"}, ROI: {"signature": "ignored"}})
    assert not decide(REQUEST, [consent(ROI)], at=AT, policy=first).permitted


def test_the_record_names_what_differs_and_reads_back() -> None:
    """The policy of a decision is recorded with its categories, and is the same when read again."""
    read, problems = Policy.parse({"signature": "required", **policy()})
    assert problems == []
    assert read is not None
    told = read.to_json()
    assert told["by_category"] == {ROI: {"signature": "when-stated"}}
    assert Policy.parse(told) == (read, [])


@pytest.mark.parametrize(
    ("categories", "path"),
    [
        ({ROI: {"default": "permit"}}, f"policy.by_category.{ROI}.default"),
        ({ROI: {"signatur": "ignored"}}, f"policy.by_category.{ROI}.signatur"),
        ({ROI: {"signature": "never"}}, f"policy.by_category.{ROI}.signature"),
        ({ROI: 3}, f"policy.by_category.{ROI}"),
        (["x"], "policy.by_category"),
    ],
)
def test_mistakes_are_told_with_their_path(categories: Any, path: str) -> None:
    """A switch about the whole decision, a misspelt one or a wrong value is refused."""
    read, problems = Policy.parse({"by_category": categories})
    assert read is None
    assert problems[0].code == "consent-policy"
    assert problems[0].path == path


def problems_of(folder: Path, rules: str) -> list[Diagnostic]:
    text = (REPOSITORY / "config.yaml").read_text("utf-8")
    places = f"mappings: {REPOSITORY / 'mappings'}\nprofiles: [{REPOSITORY / 'profiles'}]\n"
    path = folder / "config.yaml"
    path.write_text(f"{text}\n{places}{rules}", "utf-8")
    project, problems = examine(path, environment("sqlite:///x.db"))
    if project is not None:
        for known in project.policies.values():
            assert known.by_category
    return [one for one in problems if one.severity == "error"]


def test_config_gives_every_route_its_categories(tmp_path: Path) -> None:
    """rules.consent.by_category holds for the plain policy and for every route."""
    rules = "rules: {consent: {by_category: {'http://loinc.org|64292-6': {signature: ignored}}}}\n"
    assert problems_of(tmp_path, rules) == []


def test_config_mistakes_point_to_their_line(tmp_path: Path) -> None:
    """A wrong switch is told with file, line and the category it stands under."""
    rules = "rules:\n  consent:\n    by_category:\n      64292-6:\n        combine: newest\n"
    (problem,) = problems_of(tmp_path, rules)
    assert problem.code == "consent-policy"
    assert problem.place is not None
    line = (tmp_path / "config.yaml").read_text("utf-8").splitlines()[problem.place.line - 1]
    assert "combine" in line


def test_categories_do_not_stand_inside_a_policy(tmp_path: Path) -> None:
    """In config.yaml there is one place for them."""
    rules = "rules: {consent: {policy: {by_category: {x: {signature: ignored}}}}}\n"
    (problem,) = problems_of(tmp_path, rules)
    assert "rules.consent.by_category" in (problem.remedy or "")
