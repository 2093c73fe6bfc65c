"""The Python interface for notebooks and jobs: what the design promises, called as it says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from town import REPOSITORY

import engine
from engine.errors import ProjectError
from engine.samples.bundles import sample


@pytest.fixture(scope="module")
def project() -> engine.Project:
    """Return the project of this repository, loaded without any secret in the environment."""
    return engine.load(REPOSITORY / "config.yaml", {})


def resource(name: str, kind: str) -> dict[str, Any]:
    bundle = json.loads(sample(name))
    found: dict[str, Any] = next(
        entry["resource"] for entry in bundle["entry"] if entry["resource"]["resourceType"] == kind
    )
    return found


def test_an_adapter_goes_both_ways(project: engine.Project) -> None:
    """A dict goes in, result.resource comes out, and comes back equal."""
    team = resource("02-team-and-plan", "CareTeam")
    adapter = project.adapter("us-core", "CareTeam")
    canonical = adapter.to_canonical(team)
    assert canonical.ok
    assert canonical.resource is not None
    back = adapter.to_dialect(canonical.resource)
    assert back.resource == team
    assert isinstance(back.diagnostics, tuple)


def test_problems_of_a_resource_are_listed(project: engine.Project) -> None:
    """validate returns every problem with its path, and none for a good resource."""
    team = resource("02-team-and-plan", "CareTeam")
    assert project.validate(team, fhir="R4", profile=None) == []
    problems = project.validate({**team, "status": "bogus", "nmae": "x"})
    assert {problem.path for problem in problems} == {"CareTeam.status", "CareTeam.nmae"}


def test_a_decision_is_taken_at_the_instant_that_is_handed_in(project: engine.Project) -> None:
    """decide takes request, consents, supporting, at and policy, and never reads a clock."""
    consent = resource("04-signed-consent", "Consent")
    request = {
        "patient": {"reference": "Patient/avery"},
        "sender": {"reference": "Organization/org-mercy"},
        "recipient": [{"reference": "Organization/org-prairie"}],
        "purpose": [
            {"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "COC"}
        ],
    }
    people = [entry["resource"] for entry in json.loads(sample("01-who-is-who"))["entry"]]
    decision = project.decide(
        request,
        consents=[consent],
        supporting=people,
        at="2026-05-01T10:00:00Z",
        policy={"unlabelled": "pass"},
    )
    assert decision.decision == "permit", decision.to_json()
    later = project.decide(
        request, consents=[consent], supporting=people, at="2040-01-01T00:00:00Z"
    )
    assert later.decision != "permit"


def test_a_project_with_problems_refuses_to_load(tmp_path: Any) -> None:
    """Every problem is listed, with its place; nothing is half loaded."""
    (tmp_path / "config.yaml").write_text("systems: {}\nroutse: []\n")
    with pytest.raises(ProjectError) as caught:
        engine.load(tmp_path / "config.yaml", {})
    assert any(problem.place and problem.place.line == 2 for problem in caught.value.diagnostics)
    assert "routes" in str(caught.value)
