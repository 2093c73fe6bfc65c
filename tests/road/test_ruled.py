"""The stage of the analysts' rules: nothing where no rule is about the type, else the gravest."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from engine.message import Hold, Next, Outcome, Reject, Unit
from engine.road.pipeline import LEAVING
from engine.road.ruled import HELD, rules
from engine.road.trip import Trip
from engine.rules.rule_files import load_rules
from engine.rules.rulebook import RuleBook

TEXT = """
rules:
  - name: titled
    when: {type: CarePlan}
    check: title.exists()
    outcome: hold
    message: A plan has a title.
  - name: active
    when: {type: CarePlan}
    check: status = 'active'
    outcome: reject
    message: Only active plans are taken.
  - name: odd
    when: {type: CareTeam, path: name.exists()}
    check: name + 1 = 2
    outcome: reject
    message: Never said.
"""


def book(folder: Path) -> RuleBook:
    """Return the rules above."""
    (folder / "x.yaml").write_text(TEXT)
    made, problems = load_rules(folder)
    assert problems == []
    return made


def passed(made: RuleBook, **resource: Any) -> Outcome:
    """Let one canonical resource pass the stage."""
    trip = cast(Trip, SimpleNamespace(project=SimpleNamespace(rules=made)))
    kind = resource["resourceType"]
    return rules(Unit(0, kind, kind, resource, canonical=resource), trip)


def test_the_stage_stands_before_the_decision() -> None:
    """A resource that a rule stops is not judged, and not routed."""
    assert LEAVING[0] is rules


def test_reject_is_graver_than_hold(tmp_path: Path) -> None:
    """What one rule rejects is rejected, whatever another would hold it for."""
    made = book(tmp_path)
    assert isinstance(passed(made, resourceType="CarePlan", status="draft"), Reject)
    held = passed(made, resourceType="CarePlan", status="active")
    assert isinstance(held, Hold)
    assert held.reason == HELD
    good = passed(made, resourceType="CarePlan", status="active", title="x")
    assert isinstance(good, Next)


def test_a_rule_that_cannot_be_computed_holds(tmp_path: Path) -> None:
    """It fails safe: held, though it would have rejected, and the value is in no message."""
    held = passed(book(tmp_path), resourceType="CareTeam", name="secret words")
    assert isinstance(held, Hold)
    assert [each.code for each in held.diagnostics] == ["A022"]
    assert "secret" not in str(held.diagnostics)


def test_a_type_without_rules_costs_nothing(tmp_path: Path) -> None:
    """The unit itself goes on, and no rule is asked."""
    made = book(tmp_path)
    assert made.on_the_road("Communication") == ()
    resource = {"resourceType": "Communication"}
    unit = Unit(0, "Communication", "Communication", resource, canonical=resource)
    trip = cast(Trip, SimpleNamespace(project=SimpleNamespace(rules=made)))
    outcome = rules(unit, trip)
    assert isinstance(outcome, Next)
    assert outcome.unit is unit
