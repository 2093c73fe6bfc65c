"""The review of plans: what does not go together is found, with its evidence; what does, is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.fhir.json import loads
from engine.rules.careplan import MOST_ORDERS, MOST_PLANS, Settings, review
from engine.rules.finding import KINDS, Finding, detected_issue, settled
from engine.rules.rule_files import load_rules
from engine.validate import validate

AT = "2026-05-01T10:00:00Z"
SPEECH = {"coding": [{"system": "http://snomed.info/sct", "code": "5154007",
                      "display": "Speech therapy"}]}  # fmt: skip
SCHOOL = [
    {"coding": [{"system": "http://example.org/category", "code": "school"}], "text": "school"}
]
RULES = Path(__file__).resolve().parents[2] / "rules"


def plan(id: str, *activities: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return an active plan."""
    return {
        "resourceType": "CarePlan",
        "id": id,
        "status": "active",
        "intent": "plan",
        "title": f"Plan {id}",
        "subject": {"reference": "Patient/1"},
        "activity": list(activities),
    } | more


def activity(code: Any = SPEECH, times: int | None = None, **more: Any) -> dict[str, Any]:
    """Return an activity so many times per week; it is scheduled."""
    detail: dict[str, Any] = {"code": code, "status": "scheduled"} | more
    if times:
        detail["scheduledTiming"] = {
            "repeat": {"frequency": times, "period": 1, "periodUnit": "wk"}
        }
    return {"detail": detail}


def medication(id: str, value: str, unit: str, times: int = 1, **more: Any) -> dict[str, Any]:
    """Return an active medication request of so much, so many times a day."""
    return {
        "resourceType": "MedicationRequest",
        "id": id,
        "status": "active",
        "intent": "order",
        "subject": {"reference": "Patient/1"},
        "medicationCodeableConcept": {"text": "Methylphenidate"},
        "dosageInstruction": [
            {
                "timing": {"repeat": {"frequency": times, "period": 1, "periodUnit": "d"}},
                "doseAndRate": [{"doseQuantity": {"value": value, "code": unit, "unit": unit}}],
            }
        ],
    } | more


def service(id: str, text: str, **more: Any) -> dict[str, Any]:
    """Return an active service request."""
    return {
        "resourceType": "ServiceRequest",
        "id": id,
        "status": "active",
        "intent": "order",
        "subject": {"reference": "Patient/1"},
        "code": {"text": text},
        "authoredOn": "2026-04-01",
    } | more


def codes(findings: list[Finding]) -> list[str]:
    """Return the kinds that were found, without the one that every plan without goals has."""
    return [each.code for each in findings if each.code != "activity-without-goal"]


def found(findings: list[Finding], code: str) -> Finding:
    """Return the one finding of a kind."""
    (one,) = [each for each in findings if each.code == code]
    return one


def test_two_active_plans_of_one_category_overlap() -> None:
    """Both plans are the evidence, and both are named with whose they are."""
    titles = {"CarePlan/a": "Mercy", "CarePlan/b": "Hub"}
    plans = [plan("b", category=SCHOOL), plan("a", category=SCHOOL)]
    one = found(review(plans, [], AT, settings=Settings(titles=titles)), "plan-overlap")
    assert one.evidence == ("CarePlan/a", "CarePlan/b")
    assert "“Plan a” (Mercy)" in one.reason
    assert "“Plan b” (Hub)" in one.reason


@pytest.mark.parametrize(
    "other",
    [
        plan("b", category=SCHOOL, status="completed"),
        plan("b", category=SCHOOL, intent="proposal"),
        plan("b", category=SCHOOL, period={"end": "2026-04-30"}),
        plan("b", category=SCHOOL, period={"start": "2026-07-01"}),
        plan("b", category=SCHOOL, partOf=[{"reference": "CarePlan/a"}]),
        plan("b", category=[{"text": "diabetes"}]),
        plan("b"),
        plan("b", category=[{"coding": [{"code": "assess-plan"}]}]),
    ],
    ids=["completed", "proposed", "over", "later", "part", "other", "no category", "generic"],
)
def test_plans_that_do_not_overlap(other: dict[str, Any]) -> None:
    """Other times, other categories, parts of one plan, and generic categories are no overlap."""
    one = plan(
        "a",
        category=[*SCHOOL, {"coding": [{"code": "assess-plan"}]}],
        period={"start": "2026-01-01", "end": "2026-06-30"},
    )
    assert "plan-overlap" not in codes(review([one, other], [], AT))


def test_plans_for_one_condition_overlap() -> None:
    """Plans without a telling category overlap where they address one condition."""
    conditions = [
        {"resourceType": "Condition", "id": id, "code": {"text": "Autism"}} for id in ("x", "y")
    ]
    plans = [
        plan("a", addresses=[{"reference": "Condition/x"}]),
        plan("b", addresses=[{"reference": "Condition/y"}]),
    ]
    assert "Autism" in found(review(plans, conditions, AT), "plan-overlap").reason


def test_the_same_activity_twice() -> None:
    """One code in two plans at one rate is told once, as a double."""
    findings = review([plan("a", activity(times=2)), plan("b", activity(times=2))], [], AT)
    assert codes(findings) == ["activity-duplicate"]
    assert found(findings, "activity-duplicate").evidence == ("CarePlan/a", "CarePlan/b")


def test_the_same_words_are_the_same_activity_and_one_request_is_no_double() -> None:
    """Text in other case is the same; one request that two plans point to is one."""
    text, other = {"text": "Speech  Therapy"}, {"text": "speech therapy"}
    assert codes(review([plan("a", activity(text)), plan("b", activity(other))], [], AT)) == [
        "activity-duplicate"
    ]
    request = service("s", "Speech therapy", authoredOn="2026-04-30")
    pointing = {"reference": {"reference": "ServiceRequest/s"}}
    assert codes(review([plan("a", pointing), plan("b", pointing)], [request], AT)) == []


def test_two_here_and_one_there() -> None:
    """A disagreement about frequency says both, and takes the place of the double."""
    findings = review([plan("a", activity(times=2)), plan("b", activity(times=1))], [], AT)
    assert codes(findings) == ["frequency-disagreement"]
    reason = found(findings, "frequency-disagreement").reason
    assert reason == "Speech therapy: 2 per week in “Plan a”, 1 per week in “Plan b”."


def test_words_and_timings_are_compared() -> None:
    """`scheduledString` in plain words disagrees with a Timing."""
    words = {"detail": {"code": SPEECH, "status": "scheduled", "scheduledString": "once a week"}}
    findings = review([plan("a", activity(times=2)), plan("b", words)], [], AT)
    assert codes(findings) == ["frequency-disagreement"]


def test_sessions_of_different_length() -> None:
    """45 minutes here and an hour there is a disagreement; 0.75 hours is not."""

    def lasting(value: str, unit: str) -> dict[str, Any]:
        timing = {"repeat": {"duration": value, "durationUnit": unit}}
        return {"detail": {"code": SPEECH, "status": "scheduled", "scheduledTiming": timing}}

    one, other = plan("a", lasting("45", "min")), plan("b", lasting("1", "h"))
    finding = found(review([one, other], [], AT), "duration-disagreement")
    assert "45 minutes each" in finding.reason
    assert "1 hour each" in finding.reason
    same = plan("b", lasting("0.75", "h"))
    assert codes(review([one, same], [], AT)) == ["activity-duplicate"]


def test_the_amount_of_a_day_is_compared_with_that_of_a_day_only() -> None:
    """Thirty tablets to hand out are no other dose than one a day; 20 mg a day is 10 mg twice."""
    code = {"text": "Methylphenidate"}
    pack = plan("a", activity(code, quantity={"value": 30, "unit": "tablet"}))
    one_a_day = plan("b", activity(code, dailyAmount={"value": 1, "unit": "tablet"}))
    assert codes(review([pack, one_a_day], [], AT)) == ["activity-duplicate"]
    daily = plan("c", activity(code, dailyAmount={"value": 10, "code": "mg", "unit": "mg"}))
    twice = medication("m", "10", "mg", 2)
    finding = found(review([daily], [twice], AT), "quantity-disagreement")
    assert "10 mg, 2 per day" in finding.reason


def test_of_several_dosages_none_is_taken_for_all() -> None:
    """5 mg in the morning and 15 mg at night is not 5 mg a day."""
    split = medication("m", "5", "mg")
    split["dosageInstruction"] += medication("m", "15", "mg")["dosageInstruction"]
    assert codes(review([], [split, medication("n", "20", "mg")], AT)) == ["activity-duplicate"]


def test_doses_are_compared_by_the_day() -> None:
    """10 mg twice a day is 0.02 g once a day; 10 mg once is not."""
    twice = medication("m", "10", "mg", 2)
    same = medication("n", "0.02", "g", 1)
    less = medication("o", "10", "mg", 1)
    assert codes(review([], [twice, same], AT)) == ["activity-duplicate"]
    finding = found(review([], [twice, less], AT), "quantity-disagreement")
    assert "10 mg, 2 per day" in finding.reason
    assert "10 mg, 1 per day" in finding.reason
    assert finding.evidence == ("MedicationRequest/m", "MedicationRequest/o")


def test_asked_for_here_and_forbidden_there() -> None:
    """`doNotPerform` in one plan contradicts the same activity in another."""
    no = activity(doNotPerform=True)
    finding = found(
        review([plan("a", activity()), plan("b", no)], [], AT), "activity-contradiction"
    )
    assert "must not be done" in finding.reason
    assert codes(review([plan("a", no), plan("b", no)], [], AT)) == []


def test_shipped_rules_find_contradictions() -> None:
    """An opioid beside a benzodiazepine, and rest beside exercise, are told by their rules."""
    book, problems = load_rules(RULES)
    assert problems == []
    opioid = medication("m", "5", "mg", medicationCodeableConcept={"text": "Oxycodone 5 mg"})
    other = medication("n", "1", "mg", medicationCodeableConcept={"text": "Lorazepam 1 mg"})
    finding = found(review([], [opioid, other], AT, book=book), "activity-contradiction")
    assert "breathing" in finding.reason
    assert finding.gravity == "high"
    rest = plan("a", activity({"text": "Strict bed rest"}))
    gait = plan("b", activity({"text": "Gait training"}))
    assert (
        "exercise"
        in found(review([rest, gait], [], AT, book=book), "activity-contradiction").reason
    )


def test_a_rule_that_fails_is_told_and_holds(tmp_path: Path) -> None:
    """A contradiction that cannot be computed is a finding that holds, never a traceback."""
    text = """
contradictions:
  - name: broken
    one: {type: ServiceRequest, path: "code.text + 1 = 2"}
    other: {type: ServiceRequest, path: "code.exists()"}
    message: Never said.
"""
    (tmp_path / "x.yaml").write_text(text)
    book, problems = load_rules(tmp_path)
    assert problems == []
    one, other = service("s", "a", authoredOn="2026-04-30"), service("t", "b")
    findings = [f for f in review([], [one, other], AT, book=book) if f.code == "rule"]
    assert {f.outcome for f in findings} <= {"hold"}
    assert findings


def test_a_service_without_a_sign_of_being_scheduled() -> None:
    """After the days of grace, a service needs an appointment, visit or task that answers it."""
    request = service("s", "Hearing test")
    assert codes(review([], [request], AT)) == ["not-scheduled"]
    assert codes(review([], [request], "2026-04-10T00:00:00Z")) == []
    basis = [{"reference": "ServiceRequest/s"}]
    for sign in (
        {"resourceType": "Appointment", "id": "1", "status": "booked", "basedOn": basis},
        {"resourceType": "Encounter", "id": "1", "status": "finished", "basedOn": basis},
        {"resourceType": "Task", "id": "1", "status": "accepted", "focus": basis[0]},
    ):
        assert codes(review([], [request, sign], AT)) == []
    missed = {"resourceType": "Appointment", "id": "1", "status": "noshow", "basedOn": basis}
    assert codes(review([], [request, missed], AT)) == ["not-scheduled"]


def test_an_activity_of_a_plan_without_a_sign() -> None:
    """An activity that has not started is due from the start of its plan."""
    waiting = plan("a", activity(status="not-started"), period={"start": "2026-01-01"})
    assert codes(review([waiting], [], AT)) == ["not-scheduled"]
    assert codes(review([plan("a", activity(status="in-progress"))], [], AT)) == []


def test_goals_and_activities_that_miss_each_other() -> None:
    """A goal that nothing serves, and activities that serve no goal, are told."""
    goal = {
        "resourceType": "Goal",
        "id": "g",
        "lifecycleStatus": "active",
        "description": {"text": "Speaks"},
    }
    served = activity(goal=[{"reference": "Goal/g"}])
    listed = {"goal": [{"reference": "Goal/g"}]}
    assert review([plan("a", served, **listed)], [goal], AT) == []
    alone = review([plan("a", **listed)], [goal], AT)
    assert [f.code for f in alone] == ["goal-without-activity"]
    assert alone[0].evidence == ("CarePlan/a", "Goal/g")
    aimless = review([plan("a", activity())], [], AT)
    assert [f.code for f in aimless] == ["activity-without-goal"]
    over = goal | {"lifecycleStatus": "completed"}
    assert review([plan("a", **listed)], [over], AT) == []


def test_a_review_answers_the_same_in_any_order() -> None:
    """The order in which resources come does not change findings, identities or words."""
    plans = [
        plan(id, activity(times=n), category=SCHOOL) for id, n in (("a", 1), ("b", 2), ("c", 2))
    ]
    related = [service("s", "Hearing test"), medication("m", "5", "mg"), medication("n", "6", "mg")]
    one = review(plans, related, AT)
    assert one == review(plans[::-1], related[::-1], AT)
    assert len({f.identity for f in one}) == len(one)


@pytest.mark.parametrize("code", KINDS)
def test_every_finding_is_a_valid_detected_issue(code: str) -> None:
    """Open and settled, each kind is valid R4 with evidence and a reason."""
    finding = Finding(code, "A reason.", ("CarePlan/a", "CarePlan/b"))
    author = {"display": "Hub"}
    issue = detected_issue(finding, "x", member="1", author=author, at=AT)
    assert validate(issue) == []
    assert validate(settled(issue, AT)) == []
    assert [each["reference"] for each in issue["implicated"]] == ["CarePlan/a", "CarePlan/b"]


def test_what_is_too_much_to_compare_is_told() -> None:
    """Beyond the bound the pairs are not looked at, and a finding names the plans left out."""
    plans = [
        plan(f"{n:03}", activity({"text": f"thing {n}"}), category=[]) for n in range(MOST_PLANS)
    ]
    assert "not-compared" not in {each.code for each in review(plans, [], AT)}
    more = plan("more", activity({"text": "thing 1"}), category=[])
    (told,) = (each for each in review([*plans, more], [], AT) if each.code == "not-compared")
    assert told.evidence == ("CarePlan/more",)
    another = plan("other", activity(), category=[])
    (again,) = (f for f in review([*plans, more, another], [], AT) if f.code == "not-compared")
    assert again.evidence == ("CarePlan/more", "CarePlan/other")
    assert again.identity == told.identity


def test_a_goal_is_served_also_by_what_is_too_much_to_compare() -> None:
    """Only comparisons are bounded: the last of very many activities still serves its goal."""
    many = [
        activity({"text": f"thing {n}"}, goal=[{"reference": "Goal/1"}]) for n in range(MOST_ORDERS)
    ]
    last = activity({"text": "the last"}, goal=[{"reference": "Goal/2"}])
    goals = [{"resourceType": "Goal", "id": id, "lifecycleStatus": "active"} for id in ("1", "2")]
    listed = [{"reference": "Goal/1"}, {"reference": "Goal/2"}]
    codes = {f.code for f in review([plan("a", *many, last, goal=listed)], goals, AT)}
    assert codes == {"not-compared"}


def test_hostile_plans_do_not_break_a_review() -> None:
    """Odd but valid content gives findings or none, never an exception."""
    odd = plan(
        "a", {"progress": [{"text": "x"}]}, {"detail": {"status": "unknown"}}, title="x" * 10_000
    )
    finding = review(
        [odd, plan("b", activity({"text": "y" * 10_000}), activity({"text": "y" * 10_000}))], [], AT
    )
    assert all(len(each.reason) < 1_000 for each in finding)


def test_the_real_plans_of_the_corpus_are_reviewed(shared: Path) -> None:
    """57 plans that real projects published, taken as one member's, give reasons in plain words."""
    book, _ = load_rules(RULES)
    plans = []
    for path in sorted((shared / "corpus" / "examples").rglob("*.json")):
        tree = loads(path.read_bytes())
        if isinstance(tree, dict) and tree.get("resourceType") == "CarePlan" and not validate(tree):
            plans.append(tree | {"id": f"p{len(plans)}"})
    findings = review(plans, [], AT, book=book)
    assert len(plans) > 20
    assert findings
    assert all(finding.reason.endswith((".", ".)")) for finding in findings)
