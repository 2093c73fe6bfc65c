"""The requests that are waited for: found by their timers, whatever else is on record."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from test_guide_records import arrived, put, request
from valley import Valley, valley

from engine.coordination.records import all_requests, open_requests
from engine.coordination.records_states import WAITING


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Valley]:
    """Return a valley under a release."""
    with valley(tmp_path) as built:
        built.settle()
        built.permit("hub", "mercy", "lakeside", "clinic")
        yield built


def waited_for(place: Valley) -> set[str]:
    """Return the systems of the requests that are open; both ways of looking agree."""
    found, every = place.store.read(
        lambda tx: (list(open_requests(tx, place.project)), list(all_requests(tx, place.project)))
    )
    assert {str(one.task["id"]) for one in found} == {
        str(one.task["id"]) for one in every if one.stage in WAITING
    }
    return {str(one.asked) for one in found}


def test_open_requests_are_found_from_asking_to_answer(place: Valley) -> None:
    """Not due, due, and late for days: as long as it is waited for, and no longer."""
    request(place)
    task = arrived(place)["mercy"]
    assert waited_for(place) == {"mercy", "lakeside"}
    for _ in range(18):
        place.wait(1)
        assert waited_for(place) == {"mercy", "lakeside"}
    put(place, {**task, "status": "completed"})
    assert waited_for(place) == {"lakeside"}
    place.wait(1)
    assert waited_for(place) == {"lakeside"}


def test_a_request_that_is_taken_up_again_late_is_found(place: Valley) -> None:
    """Failed before its day and begun again after it, it is open and overdue."""
    request(place)
    task = arrived(place)["mercy"]
    put(place, {**task, "status": "failed"})
    place.wait(20)
    assert waited_for(place) == {"lakeside"}
    put(place, {**task, "status": "in-progress"})
    assert waited_for(place) == {"mercy", "lakeside"}
    place.wait(3)
    assert waited_for(place) == {"mercy", "lakeside"}
