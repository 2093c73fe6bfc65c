"""The states of a request: one table, complete, the same in docs and in the table of HRex."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.coordination.records_match import matching
from engine.coordination.records_states import STATES, WAITING, as_markdown, in_order
from engine.coordination.records_tasks import (
    BUSINESS,
    Wanted,
    due_of,
    end_of,
    is_request,
    new_communication_request,
    new_task,
    stage_of,
)
from engine.document import read
from engine.fhir.schema import schema
from engine.validate import validate

AT = "2026-05-01T10:00:00.000000Z"


def test_the_table_knows_every_status_of_r4() -> None:
    """No Task.status is missing, and none may be followed by something unknown."""
    element = schema("R4").element("Task.status")
    assert element is not None
    assert element.codes == frozenset(STATES)
    assert all(state.follows <= frozenset(STATES) for state in STATES.values())


def test_every_hrex_status_has_its_state(repository: Path) -> None:
    """The seven statuses of HRex, as the mapping table lists them, are tracked."""
    path = repository / "mappings" / "tables" / "task-status-hrex.yaml"
    tree, problems = read(path)
    assert tree is not None, problems
    listed = {
        node.value
        for row in tree.get("rows").value  # type: ignore[union-attr]
        if (node := row.get("dialect")) is not None
    }
    assert len(listed) == 7
    assert {STATES[status].stage for status in listed} == {
        "requested",
        "accepted",
        "refused",
        "answered",
    }


def test_the_docs_show_the_table_as_it_is(repository: Path) -> None:
    """docs/records.md and the code cannot drift apart."""
    text = (repository / "docs" / "records.md").read_text(encoding="utf-8")
    between = text.partition("<!-- states -->\n")[2].partition("<!-- end of states -->")[0]
    assert between.strip() == as_markdown()


@pytest.mark.parametrize("status", [name for name, one in STATES.items() if one.stage in WAITING])
def test_what_is_waited_for_can_end_in_every_way(status: str) -> None:
    """From every waiting status an answer, a refusal and a withdrawal may follow."""
    assert all(in_order(status, end) for end in ("completed", "rejected", "failed", "cancelled"))


def written() -> dict[str, Any]:
    party = {"reference": "Organization/a"}
    return new_task("t1", "m1", party, party, Wanted("2026-05-15T00:00:00Z"), at=AT, group="g")


def test_what_is_written_is_valid() -> None:
    """A new request is valid FHIR in both forms, and is known as a request."""
    task = written()
    assert validate(task, "R4") == []
    assert validate(new_communication_request("c1", task), "R4") == []
    assert is_request(task)
    assert not is_request({"resourceType": "Task", "code": {"text": "data-request"}})


@pytest.mark.parametrize(
    ("end", "due"),
    [
        ("2026-05-15", "2026-05-15T23:59:59.999999Z"),
        ("2026-05-15T12:00:00Z", "2026-05-15T12:00:00.000000Z"),
        ("2026-05-15T12:00:00-05:00", "2026-05-15T17:00:00.000000Z"),
        ("2026-05", "2026-05-31T23:59:59.999999Z"),
        ("soon", None),
        (None, None),
        ("9999-12-31", None),
    ],
)
def test_a_due_date_includes_its_day(end: str | None, due: str | None) -> None:
    """The end of a restriction is read with its zone; what says nothing falls back to the days."""
    task = {**written(), "restriction": {"period": {"end": end}}}
    assert end_of({"end": end}) == due or end == "9999-12-31"
    if due is None and end != "9999-12-31":
        due = "2026-05-08T10:00:00.000000Z"
    assert due is None or due_of(task, since=AT, days=7) == due


def test_only_an_ended_request_can_be_reviewed() -> None:
    """A business status of review on an open request makes it no reviewed one."""
    marked = {**written(), "businessStatus": {"coding": [{"system": BUSINESS, "code": "reviewed"}]}}
    assert stage_of(marked) == "requested"
    assert stage_of({**marked, "status": "completed"}) == "reviewed"


def test_nothing_matches_by_chance() -> None:
    """An answer about the same member that names no request answers none."""
    answer = {"resourceType": "Communication", "id": "x", "subject": {"reference": "Patient/m1"}}
    assert matching(answer, [written()]) == []
    assert matching({**written(), "id": "t1"}, [written()]) == []
