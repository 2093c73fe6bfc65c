"""What an answer means for a delivery, for each status and each odd body."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.deliver.answer import ISSUES_KEPT, Reply, own_reference, read

NOW = 1_777_629_600.0


def outcome(severity: str = "error", code: str = "invariant", **more: Any) -> bytes:
    """Return an OperationOutcome as bytes."""
    issue = {"severity": severity, "code": code, **more}
    return json.dumps({"resourceType": "OperationOutcome", "issue": [issue]}).encode()


OUTCOME = outcome()


@pytest.mark.parametrize(
    ("status", "body", "result", "code"),
    [
        (200, b"", "accepted", None),
        (201, b"", "accepted", None),
        (202, b"", "accepted", None),
        (204, b"", "accepted", None),
        (200, b"<html>", "accepted", None),
        (200, outcome("information", "informational"), "accepted", None),
        (200, OUTCOME, "refused", "D007"),
        (301, b"", "again", "D005"),
        (307, b"", "again", "D005"),
        (400, OUTCOME, "refused", "D007"),
        (400, b"not json", "refused", "D007"),
        (401, b"", "again", "D005"),
        (403, b"", "again", "D006"),
        (404, b"", "again", "D006"),
        (404, OUTCOME, "refused", "D007"),
        (405, b"<html>", "again", "D006"),
        (405, OUTCOME, "refused", "D007"),
        (408, b"", "again", "D004"),
        (409, OUTCOME, "again", "D006"),
        (410, b"", "refused", "D007"),
        (412, OUTCOME, "refused", "D007"),
        (413, b"", "refused", "D007"),
        (422, OUTCOME, "refused", "D007"),
        (425, b"", "again", "D004"),
        (429, b"", "again", "D004"),
        (500, OUTCOME, "again", "D004"),
        (501, b"", "refused", "D007"),
        (502, b"", "again", "D004"),
        (503, b"", "again", "D004"),
        (504, b"", "again", "D004"),
        (599, b"", "again", "D004"),
        (600, b"", "refused", "D007"),
        (100, b"", "refused", "D007"),
    ],
)
def test_each_status_has_one_meaning(
    status: int, body: bytes, result: str, code: str | None
) -> None:
    """A status means delivered, again or refused, whatever the body is."""
    answer = read(Reply(status, {}, body), "CareTeam", NOW)
    assert (answer.result, answer.code, answer.status) == (result, code, status)


@pytest.mark.parametrize(
    ("failure", "code"), [("unreachable", "D001"), ("timeout", "D002"), ("broken", "D003")]
)
def test_no_answer_is_tried_again_and_speaks_of_the_destination(failure: Any, code: str) -> None:
    """Without an answer nobody knows whether it arrived: again, and the breaker counts it."""
    answer = read(Reply(failure=failure), "CareTeam", NOW)
    assert (answer.result, answer.code, answer.down) == ("again", code, True)


@pytest.mark.parametrize("status", [401, 429, 502, 503, 504])
def test_some_statuses_speak_of_the_whole_destination(status: int) -> None:
    """Overload and unknown credentials hit every delivery, so the breaker counts them."""
    assert read(Reply(status), "CareTeam", NOW).down


@pytest.mark.parametrize("status", [403, 409, 422, 500])
def test_others_speak_of_one_resource(status: int) -> None:
    """One poisonous resource never makes its destination look down."""
    assert not read(Reply(status, {}, OUTCOME), "CareTeam", NOW).down


@pytest.mark.parametrize("status", [403, 404, 409])
def test_what_seldom_changes_is_tried_few_times(status: int) -> None:
    """A conflict or a refusal of access is not tried as often as an outage."""
    assert read(Reply(status), "CareTeam", NOW).few


def test_retry_after_is_taken_over() -> None:
    """The wait that the destination asks for comes with the answer."""
    assert read(Reply(503, {"retry-after": "7"}), "CareTeam", NOW).wait == 7.0


@pytest.mark.parametrize(
    ("location", "own"),
    [
        ("http://ehr.example/fhir/CareTeam/17/_history/2", "CareTeam/17"),
        ("https://ehr.example/fhir/CareTeam/17", "CareTeam/17"),
        ("/fhir/CareTeam/a-1.b/_history/1", "CareTeam/a-1.b"),
        ("CareTeam/17", "CareTeam/17"),
        ("CareTeam/17/_history/1", "CareTeam/17"),
        ("CareTeam/x_y", "CareTeam/x_y"),
        ("http://ehr.example/fhir/Patient/17", None),
        ("http://ehr.example/fhir/CareTeam", None),
        ("CareTeam/a b", None),
        ("", None),
    ],
)
def test_the_own_reference_is_read_from_each_form_of_location(
    location: str, own: str | None
) -> None:
    """Absolute or relative, with or without _history; another type is not believed."""
    assert own_reference(location, "CareTeam") == own
    assert read(Reply(201, {"location": location}), "CareTeam", NOW).own == own


def test_the_own_reference_may_stand_in_the_body() -> None:
    """A server that sends no Location says its id in the resource that it returns."""
    body = b'{"resourceType":"CareTeam","id":"17"}'
    assert read(Reply(201, {}, body), "CareTeam", NOW).own == "CareTeam/17"


def bundle(status: Any, location: str | None = "CareTeam/17/_history/1") -> bytes:
    """Return the answer to a transaction of one entry."""
    response = {"status": status, "location": location}
    return json.dumps({"resourceType": "Bundle", "entry": [{"response": response}]}).encode()


def test_a_transaction_is_read_by_its_entry() -> None:
    """The entry's own status decides, and its location names the resource."""
    fine = read(Reply(200, {}, bundle("201 Created")), "CareTeam", NOW)
    assert (fine.result, fine.own) == ("accepted", "CareTeam/17")
    assert read(Reply(200, {}, bundle("422")), "CareTeam", NOW).result == "refused"
    assert read(Reply(200, {}, bundle(201)), "CareTeam", NOW).result == "accepted"


def test_only_codes_and_paths_of_an_outcome_are_kept() -> None:
    """Diagnostics, texts and anything that may hold a value of the payload are left out."""
    body = outcome(
        "error",
        "invariant",
        diagnostics="Jane Roe is unknown",
        details={"text": "Jane Roe", "coding": [{"code": "MSG_BAD"}, {"code": "Jane Roe 1990"}]},
        expression=["CareTeam.participant[0].member", "x.where(name='Jane')"],
    )
    record = read(Reply(422, {}, body), "CareTeam", NOW).record()
    assert record["issues"] == [
        {
            "severity": "error",
            "code": "invariant",
            "details": ["MSG_BAD"],
            "expression": ["CareTeam.participant[0].member"],
        }
    ]
    assert "Jane" not in json.dumps(record)


ODD = [
    b"[]",
    b"null",
    b'"text"',
    b"{",
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"resourceType":"OperationOutcome"}',
    b'{"resourceType":"OperationOutcome","issue":{}}',
    b'{"resourceType":"OperationOutcome","issue":[1,null,{"code":5,"details":[],"expression":{}}]}',
    b'{"resourceType":"OperationOutcome","issue":[{"details":{"coding":{}}}]}',
    b'{"resourceType":"OperationOutcome","issue":[{"details":{"coding":[1]},"expression":[1]}]}',
    b'{"resourceType":"Bundle","entry":{}}',
    b'{"resourceType":"Bundle","entry":[1]}',
    b'{"resourceType":"Bundle","entry":[{"response":7}]}',
]


@pytest.mark.parametrize("body", ODD, ids=range(len(ODD)))
@pytest.mark.parametrize("status", [201, 422, 503])
def test_odd_bodies_never_fail_the_reading(status: int, body: bytes) -> None:
    """A body that is no OperationOutcome, or a strange one, changes nothing about the status."""
    answer = read(Reply(status, {}, body), "CareTeam", NOW)
    assert answer.result == {201: "accepted", 422: "refused", 503: "again"}[status]
    assert json.dumps(answer.record())


def test_a_flood_of_issues_is_cut() -> None:
    """What is written to the ledger is bounded."""
    issue = {"severity": "error", "code": "invalid"}
    body = json.dumps({"resourceType": "OperationOutcome", "issue": [issue] * 5000}).encode()
    assert len(read(Reply(422, {}, body), "CareTeam", NOW).issues) == ISSUES_KEPT
