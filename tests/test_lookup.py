"""People that a sender refers to without sending them are read from it, within bounds."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from empty_record import empty_record
from town import Town, loaded

from engine.server import create_app
from engine.store import Store
from engine.testing import ManualClock

ROLE = {
    "resourceType": "PractitionerRole",
    "id": "r1",
    "practitioner": {"reference": "Practitioner/p1"},
    "organization": {"reference": "Organization/o1"},
}
KNOWN: dict[str, dict[str, Any]] = {
    "PractitionerRole/r1": ROLE,
    "Practitioner/p1": {"resourceType": "Practitioner", "id": "p1", "name": [{"family": "P"}]},
    "Organization/o1": {"resourceType": "Organization", "id": "o1", "name": "O"},
    "Patient/ada": {
        "resourceType": "Patient",
        "id": "ada",
        "identifier": [{"system": "http://mercy.example/mrn", "value": "A1"}],
        "name": [{"family": "A"}],
    },
}
TEAM = {
    "resourceType": "CareTeam",
    "id": "t1",
    "status": "active",
    "subject": {"reference": "Patient/ada"},
    "participant": [
        {"role": [{"text": "Therapist"}], "member": {"reference": "PractitionerRole/r1"}}
    ],
}

Answer = Callable[[httpx.Request], httpx.Response]


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Callable[[Answer], Town]]:
    """Return what builds a town whose hospital may be asked, and answers so."""
    stores: list[Store] = []

    def build(answer: Answer) -> Town:
        project = loaded()
        mercy = dataclasses.replace(project.config.systems["mercy"], lookup=True, timeout=2.0)
        systems = {**project.config.systems, "mercy": mercy}
        config = dataclasses.replace(project.config, systems=systems)
        chosen = dataclasses.replace(project, config=config)
        clock = ManualClock()
        store = Store.open(empty_record(tmp_path / "x.db"), clock=clock)
        stores.append(store)
        place = Town(chosen, store, clock)
        place.app = create_app(
            chosen, store, clock=clock, connect=lambda _: httpx.MockTransport(answer)
        )
        return place

    yield build
    for store in stores:
        store.close()


def known(request: httpx.Request) -> httpx.Response:
    found = KNOWN.get(request.url.path.removeprefix("/fhir/"))
    return httpx.Response(200, json=found) if found else httpx.Response(404)


def test_whom_a_team_names_is_read_from_its_sender(asked: Callable[[Answer], Town]) -> None:
    """The role, and through it practitioner and organization, are read; the team passes at once."""
    place = asked(known)
    assert place.post("mercy", TEAM).status_code == 201
    arrived = [one.resource["resourceType"] for one in place.deliver()]
    assert arrived[-1] == "CareTeam"
    assert {"Patient", "PractitionerRole", "Practitioner", "Organization"} <= set(arrived)


@pytest.mark.parametrize(
    "answer",
    [
        lambda _: httpx.Response(404),
        lambda _: httpx.Response(200, content=b"not json"),
        lambda _: httpx.Response(200, json={"resourceType": "Patient", "id": "someone-else"}),
        lambda _: httpx.Response(200, content=b" " * 2_000_000),
    ],
)
def test_what_cannot_be_read_stays_unresolved(
    asked: Callable[[Answer], Town], answer: Answer
) -> None:
    """A server that knows nobody, talks nonsense or answers with somebody else is not believed."""
    place = asked(answer)
    assert place.post("mercy", TEAM).status_code == 202
    assert place.deliver() == []


def test_a_sender_that_does_not_answer_is_not_waited_for_without_end(
    asked: Callable[[Answer], Town],
) -> None:
    """The read ends with the system's time-out, and the submission is held as ever."""

    async def never(_request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    place = asked(never)  # type: ignore[arg-type]
    assert place.post("mercy", TEAM).status_code == 202


def test_without_leave_nobody_is_asked(tmp_path: Path) -> None:
    """A system whose config does not allow it is never read from."""
    clock = ManualClock()
    with Store.open(empty_record(tmp_path / "x.db"), clock=clock) as store:
        place = Town(loaded(), store, clock)

        def answer(_request: httpx.Request) -> httpx.Response:
            raise AssertionError("nobody may be asked")

        place.app = create_app(
            place.project, store, clock=clock, connect=lambda _: httpx.MockTransport(answer)
        )
        assert place.post("mercy", TEAM).status_code == 202
