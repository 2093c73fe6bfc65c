"""Where the quick look at a profile is content, the check has nothing to report either."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import resources

from engine.fhir.profile_checks import Node, Report, Scope, build, compile_node
from engine.fhir.profile_quiet import compile_quiet
from engine.fhir.profiles import Profiles, load_profiles
from engine.fhir.schema import schema
from engine.fhir.value_sets import ValueSets
from engine.samples.bundles import sample

LEAD = {"coding": [{"system": "http://a.example", "code": "lead"}]}
SLICED = {"discriminator": [{"type": "pattern", "path": "role"}]}
WHOLE = {"discriminator": [{"type": "value", "path": "$this"}], "rules": "closed"}
PATIENT = {"code": "Reference", "targetProfile": ["http://a.example/patient"]}
ELEMENTS: tuple[dict[str, Any], ...] = (
    {"path": "CareTeam.name", "min": 1},
    {"path": "CareTeam.name", "max": "0"},
    {"path": "CareTeam.status", "fixedCode": "active"},
    {"path": "CareTeam.category", "min": 1, "max": "1", "patternCodeableConcept": LEAD},
    {"path": "CareTeam.category", "slicing": WHOLE},
    {
        "id": "CareTeam.category:lead",
        "path": "CareTeam.category",
        "min": 1,
        "patternCodeableConcept": LEAD,
    },
    {"path": "CareTeam.subject", "min": 1, "type": [PATIENT]},
    {"path": "CareTeam.participant", "slicing": SLICED},
    {"id": "CareTeam.participant:lead", "path": "CareTeam.participant", "max": "1"},
    {
        "id": "CareTeam.participant:lead.role",
        "path": "CareTeam.participant.role",
        "patternCodeableConcept": LEAD,
    },
    {"id": "CareTeam.participant:lead.member", "path": "CareTeam.participant.member", "min": 1},
    {"path": "CareTeam.participant.member", "type": [PATIENT]},
    {"path": "CareTeam.period.start", "min": 1},
    {"path": "CareTeam.period", "constraint": [{"key": "p", "expression": "end.exists()"}]},
)


def told(node: Node, scope: Scope, tree: dict[str, Any]) -> list[Any]:
    report = Report("Team", False, [])
    compile_node(node, scope)(tree, "CareTeam", report)
    return report.problems


def one_of(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


REFERENCES = one_of(
    {"reference": "Patient/1"},
    {"reference": "Group/1"},
    {"reference": "Patient/ü", "type": "Group"},
    {"reference": "http://a.example/fhir/Group/1"},
    {"type": "Group", "display": "a"},
    {"display": "a"},
)
CONCEPTS = one_of(LEAD, {**LEAD, "text": "a"}, {"text": "a"}, {"coding": [{"code": "lead"}]})
MEMBERS = st.fixed_dictionaries({}, optional={"role": st.lists(CONCEPTS), "member": REFERENCES})
TEAMS = st.fixed_dictionaries(
    {"resourceType": st.just("CareTeam")},
    optional={
        "name": st.just("a"),
        "_name": st.just({"id": "a"}),
        "status": one_of("active", "proposed"),
        "category": st.lists(CONCEPTS, max_size=3),
        "subject": REFERENCES,
        "participant": st.lists(MEMBERS, max_size=3),
        "period": one_of({"start": "2026"}, {"end": "2026"}, {"_start": {"id": "a"}}),
    },
)


@settings(max_examples=600, deadline=None)
@given(
    chosen=st.sets(st.integers(0, len(ELEMENTS) - 1)),
    tree=TEAMS | resources("CareTeam"),
)
def test_whom_the_quick_look_contents_the_check_contents(
    chosen: set[int], tree: dict[str, Any]
) -> None:
    """Whatever a profile asks and a resource holds, quiet means that nothing is reported."""
    scope = Scope(schema("R4"), ValueSets())
    node, refused = build("CareTeam", [ELEMENTS[one] for one in sorted(chosen)], scope)
    assert refused == []
    if compile_quiet(node, scope)(tree):
        assert told(node, scope, tree) == []


def test_a_slice_that_must_be_there_is_missed_of_a_choice_as_well() -> None:
    """Where no variant of a choice is there, the slice of it that a profile asks for is missing."""
    scope = Scope(schema("R4"), ValueSets())
    sliced = {"discriminator": [{"type": "pattern", "path": "$this"}]}
    lead = {"min": 1, "patternCodeableConcept": LEAD}
    path = "Observation.value[x]"
    elements = [{"path": path, "slicing": sliced}, {"path": path, "id": f"{path}:lead", **lead}]
    node, refused = build("Observation", elements, scope)
    assert refused == []
    for tree in ({"resourceType": "Observation"}, {"valueString": "a"}):
        assert len(told(node, scope, tree)) == 1
        assert not compile_quiet(node, scope)(tree)


@pytest.fixture(scope="module")
def shipped() -> Profiles:
    """Return the profiles that the project ships."""
    profiles, _ = load_profiles([Path(__file__).resolve().parents[2] / "profiles"])
    return profiles


def test_the_sample_plan_is_told_by_the_quick_look(shipped: Profiles) -> None:
    """What keeps to a profile needs no report to say so; what does not is left to the check."""
    profile = shipped.get("http://hl7.org/fhir/us/core/StructureDefinition/us-core-careplan")
    assert profile is not None
    quiet = compile_quiet(profile.root, profile.scope)
    entries = json.loads(sample("02-team-and-plan"))["entry"]
    plan = next(one["resource"] for one in entries if one["resource"]["resourceType"] == "CarePlan")
    assert quiet(plan)
    assert profile.check(plan) == []
    for name in ("category", "subject"):
        spoilt = {**plan, name: [{}] if name == "category" else {"reference": "Group/1"}}
        assert not quiet(spoilt)
        assert len(profile.check(spoilt)) == 1
