"""How a Bundle becomes Units, and their outcomes the answer that the sender gets."""

from __future__ import annotations

from typing import Any

import pytest

from engine.diagnostics import Diagnostic
from engine.message import Hold, Next, Outcome, Reject, Unit
from engine.road.entries import Submission, answer, split, transaction_refused

TEAM = {"resourceType": "CareTeam", "id": "t1"}


def entry(resource: dict[str, Any], method: str = "PUT", url: str | None = None) -> dict[str, Any]:
    target = url or f"{resource.get('resourceType')}/{resource.get('id')}"
    return {"resource": resource, "request": {"method": method, "url": target}}


def bundle(kind: str, *entries: Any) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


def taken(tree: dict[str, Any]) -> Submission:
    found = split(tree)
    assert isinstance(found, Submission)
    return found


def test_a_lone_resource_is_one_unit() -> None:
    """A single resource travels as one unit and stands for itself."""
    found = taken(TEAM)
    assert [unit.type for unit in found.units] == ["CareTeam"]
    assert found.kind is None


@pytest.mark.parametrize("kind", ["transaction", "batch"])
def test_entries_become_units_in_order(kind: str) -> None:
    """Each entry is a unit with its index and path."""
    found = taken(bundle(kind, entry(TEAM), entry(TEAM)))
    assert [unit.where for unit in found.units] == [
        "Bundle.entry[0].resource",
        "Bundle.entry[1].resource",
    ]
    assert found.whole is (kind == "transaction")


@pytest.mark.parametrize("kind", ["searchset", "history", "document", None])
def test_other_bundle_types_are_refused(kind: str | None) -> None:
    """A Bundle that is an answer, not a submission, is refused with its type's path."""
    found = split({"resourceType": "Bundle", "type": kind})
    assert isinstance(found, Reject)
    assert found.diagnostics[0].path == "Bundle.type"


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        (entry(TEAM, "DELETE"), "R003"),
        (entry(TEAM, "PUT", "CarePlan/t1"), "R012"),
        (entry(TEAM, "PUT", "CareTeam/other"), "R012"),
        (entry(TEAM, "PUT", "::"), "R012"),
        ({"resource": TEAM}, "R012"),
        ({"request": {"method": "PUT", "url": "CareTeam/t1"}}, "R012"),
        ("nonsense", "R012"),
        ({**entry(TEAM), "fullUrl": ["urn:uuid:1"]}, "R012"),
        ({**entry(TEAM), "fullUrl": 7}, "R012"),
        (entry({**TEAM, "resourceType": "Nothing"}), "R012"),
    ],
)
def test_an_entry_that_cannot_be_used_is_refused_alone(broken: Any, code: str) -> None:
    """In a batch a broken entry is refused with its path; the others travel on."""
    found = taken(bundle("batch", broken, entry(TEAM)))
    assert len(found.units) == 1
    assert found.refused[0].diagnostics[0].code == code
    assert (found.refused[0].diagnostics[0].path or "").startswith("Bundle.entry[0]")


@pytest.mark.parametrize("kind", ["batch", "collection"])
def test_a_type_that_does_not_exist_names_nothing(kind: str) -> None:
    """What a sender invents as a type is refused, and stands as no type in figures and answers."""
    found = taken(bundle(kind, entry({"resourceType": "Invented", "id": "1"})))
    assert not found.units
    assert found.refused[0].unit.type == "Resource"
    assert "Invented" not in found.refused[0].diagnostics[0].message


def test_a_message_needs_its_header_first() -> None:
    """A message Bundle without MessageHeader is refused; the header itself is no unit."""
    header = {"resourceType": "MessageHeader", "id": "h"}
    assert isinstance(split(bundle("message", {"resource": TEAM})), Reject)
    found = taken(bundle("message", {"resource": header}, {"resource": TEAM}))
    assert [unit.type for unit in found.units] == ["CareTeam"]
    assert found.header == header


def outcomes(found: Submission) -> list[Outcome]:
    passed, held, refused = found.units
    problem = Diagnostic("R002", "Not carried.", path=refused.where)
    return [Next(passed), Hold(held, "crosswalk-unknown"), Reject(refused, 422, (problem,))]


def test_every_entry_of_a_batch_gets_its_outcome() -> None:
    """Created, held and refused entries stand in the response at their own places."""
    found = taken(bundle("batch", entry(TEAM), entry(TEAM), entry(TEAM)))
    told = answer(found, outcomes(found), "m1")
    assert told.status == 200
    assert told.body["type"] == "batch-response"
    statuses = [item["response"]["status"][:3] for item in told.body["entry"]]
    assert statuses == ["201", "202", "422"]


def test_a_transaction_with_one_refusal_is_refused_whole() -> None:
    """The answer to a broken transaction is one OperationOutcome with what must be mended."""
    found = taken(bundle("transaction", entry(TEAM), entry(TEAM), entry(TEAM)))
    refused = transaction_refused(outcomes(found))
    assert all(isinstance(outcome, Reject) for outcome in refused)
    told = answer(found, refused, "m1")
    assert told.status == 422
    assert [issue["expression"] for issue in told.body["issue"]] == [["Bundle.entry[2].resource"]]


def test_a_consent_refusal_makes_the_whole_answer_forbidden() -> None:
    """A lone Communication without consent is answered 403."""
    unit = Unit(0, "Communication", "Communication", {"resourceType": "Communication"})
    reject = Reject(unit, 403, (Diagnostic("consent-missing", "No consent."),))
    assert answer(Submission(None, (unit,)), [reject], "m1").status == 403
