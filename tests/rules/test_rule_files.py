"""Rules that analysts write: every mistake is told with its place, and no rule can do harm."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from engine.diagnostics import CODES, Diagnostic, Place
from engine.rules.expression import LONGEST, BudgetSpent, expression
from engine.rules.rule_cases import run_rule_cases
from engine.rules.rule_files import load_file, load_rules, rule_files
from engine.rules.rulebook import BROKEN, FAILED, MET

ROOT = Path(__file__).resolve().parents[2]
HERE = Place("x.yaml", 1, 1)
GOOD = """
rules:
  - name: plan-has-period
    when: {type: CarePlan, path: status = 'active'}
    check: period.start.exists()
    outcome: hold
    message: An active plan says from when it holds.
"""


def problems_of(folder: Path, text: str) -> list[Diagnostic]:
    """Return what is wrong with one file of rules."""
    (folder / "x.yaml").write_text(text)
    return load_rules(folder)[1]


def test_a_rule_is_met_broken_or_does_not_apply(tmp_path: Path) -> None:
    """`when` decides whether a rule applies, `check` must then be true."""
    (tmp_path / "x.yaml").write_text(GOOD)
    book, problems = load_rules(tmp_path)
    assert problems == []
    (rule,) = book.on_the_road("CarePlan")
    plan = {"resourceType": "CarePlan", "status": "active"}
    assert rule.ask(plan) == BROKEN
    assert rule.ask(plan | {"period": {"start": "2026"}}) == MET
    assert rule.ask(plan | {"status": "completed"}) == MET
    assert book.on_the_road("CareTeam") == book.watching("CarePlan") == ()


@pytest.mark.parametrize(
    ("was", "now", "code", "remedy"),
    [
        ("check:", "chekc:", "A001", "did you mean 'check'?"),
        ("    check: period.start.exists()\n", "", "A002", None),
        ("type: CarePlan", "type: CarePlna", "A007", "did you mean 'CarePlan'?"),
        ("outcome: hold", "outcome: holt", "A007", "did you mean 'hold'?"),
        ("period.start.exists()", "peroid.start.exists()", "A005", "did you mean 'period'?"),
        ("period.start.exists()", "period.start.exsts()", "A004", "did you mean 'exists'?"),
        ("period.start.exists()", "period.start.exists(", "A003", None),
        ("period.start.exists()", "__class__.exists()", "A003", None),
        ("period.start.exists()", "title.matches('(a+)+b')", "A003", None),
        ("period.start.exists()", "period.start < today()", "A003", None),
        ("period.start.exists()", "activity.repeat(detail).exists()", "A003", None),
        ("period.start.exists()", "title = %resource.title", "A003", None),
        ("plan-has-period", "Plan has period", "A006", None),
        ("message: An active", "note: An active", "A002", None),
        ("when: {type: CarePlan, path: status = 'active'}", "note: none", "A002", None),
        ("type: CarePlan", "typ: CarePlan", "A001", "did you mean 'type'?"),
        ("rules:", "rule:", "A001", "did you mean 'rules'?"),
    ],
)
def test_each_mistake_has_code_place_and_nearest_name(
    tmp_path: Path, was: str, now: str, code: str, remedy: str | None
) -> None:
    """A spoiled rule is refused where it is spoiled."""
    assert was in GOOD
    problems = problems_of(tmp_path, GOOD.replace(was, now, 1))
    found = [each for each in problems if each.code == code]
    assert found, [each.text() for each in problems]
    assert found[0].place is not None
    assert found[0].place.file.endswith("/x.yaml")
    if remedy:
        assert found[0].remedy == remedy
    assert found[0].code in CODES


def test_every_problem_is_told_in_one_run(tmp_path: Path) -> None:
    """Three spoiled rules are three problems, not the first of them."""
    text = GOOD + GOOD.replace("rules:\n", "").replace("exists()", "exsts()")
    text = text.replace("type: CarePlan", "type: CarePlna", 1)
    codes = {each.code for each in problems_of(tmp_path, text)}
    assert {"A004", "A007"} <= codes


def test_two_rules_of_one_name_are_refused(tmp_path: Path) -> None:
    """Findings are known by the name of their rule, across files."""
    (tmp_path / "y.yaml").write_text(GOOD)
    assert [each.code for each in problems_of(tmp_path, GOOD)] == ["A006"]


def test_warn_and_task_need_a_member(tmp_path: Path) -> None:
    """A rule about organizations has nobody whose finding it could be."""
    text = GOOD.replace("type: CarePlan", "type: Organization").replace("hold", "warn")
    text = text.replace("status = 'active'", "active").replace("period.start", "name")
    assert [each.code for each in problems_of(tmp_path, text)] == ["A008"]


def test_a_long_expression_is_refused() -> None:
    """An expression has a length that a person can read."""
    text = "status = 'active'" + " and status = 'active'" * LONGEST
    read, problems = expression(text, HERE, ["CarePlan"])
    assert read is None
    assert [each.code for each in problems] == ["A003"]


def test_an_expression_stops_within_its_budget() -> None:
    """What would run for minutes is ended by a count of calls, the same on every machine."""
    text = "activity.select(progress.text | detail.description).isDistinct()"
    read, problems = expression(text, HERE, ["CarePlan"])
    assert read is not None, problems
    many = [{"detail": {"description": str(n)}} for n in range(5_000)]
    started = time.monotonic()
    with pytest.raises(BudgetSpent):
        read.run({"resourceType": "CarePlan", "activity": many})
    assert time.monotonic() - started < 20


def test_a_rule_that_crashes_fails_safe(tmp_path: Path) -> None:
    """An expression that cannot be computed is neither met nor an exception."""
    (tmp_path / "x.yaml").write_text(GOOD.replace("period.start.exists()", "title + 1 = 2"))
    book, problems = load_rules(tmp_path)
    assert problems == []
    (rule,) = book.on_the_road("CarePlan")
    assert rule.ask({"status": "active", "title": "a"}) == FAILED


def test_the_shipped_rules_are_clean_and_each_is_proved_both_ways() -> None:
    """Every shipped rule has a case that it lets pass and one that it does not."""
    for path in rule_files(ROOT / "rules"):
        book, problems = load_file(path, path.name)
        cases, more = run_rule_cases(book, path, path.name)
        assert [each.text() for each in (*problems, *more)] == []
        assert [case.name for case in cases if case.problem] == []
        assert cases


def test_cases_that_lie_or_are_missing_are_told(tmp_path: Path) -> None:
    """A wrong expectation, an unknown rule and a missing answer each have their code."""
    path = tmp_path / "x.yaml"
    path.write_text(GOOD)
    book, _ = load_rules(tmp_path)
    assert [p.code for p in run_rule_cases(book, path, "x.yaml")[1]] == ["A010"]
    beside = tmp_path / "x.test.yaml"
    beside.write_text(
        "cases:\n"
        "  - {name: a, rule: plan-has-period, expect: met, input: {resourceType: CarePlan,"
        " status: active}}\n"
        "  - {name: b, rule: plan-has-perio, expect: met, input: {resourceType: CarePlan}}\n"
    )
    cases, problems = run_rule_cases(book, path, "x.yaml")
    assert [case.problem.code for case in cases if case.problem] == ["A011"]
    assert [each.code for each in problems] == ["A010", "A012"]
    assert problems[0].remedy == "did you mean 'plan-has-period'?"


def test_a_folder_that_is_not_there_holds_no_rules(tmp_path: Path) -> None:
    """A project without rules is a project."""
    book, problems = load_rules(tmp_path / "none")
    assert (book.everything, problems) == ((), [])
