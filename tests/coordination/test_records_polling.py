"""Polling brings in what a system does not report, within time and size."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from valley import Valley, valley

from engine.coordination.records import all_requests
from engine.coordination.records_polling import RecordsPolling

Answer = Callable[[httpx.Request], httpx.Response]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Valley]:
    """Return a valley in which the hospital was asked, and is polled."""
    with valley(tmp_path, "  records: {poll: {systems: [mercy], timeout: 0.2, most: 5}}") as built:
        built.settle()
        built.permit("hub", "mercy", "lakeside", "clinic")
        built.ask_for_records()
        built.deliver(100)
        yield built


def poll(place: Valley, answer: Answer, rounds: int = 1) -> list[int]:
    """Let rounds of polling pass against a system that answers so."""
    polling = RecordsPolling(
        lambda: place.project, place.store, place.clock, lambda _: httpx.MockTransport(answer)
    )

    async def turns() -> list[int]:
        return [await polling.turn() for _ in range(rounds)]

    return asyncio.run(turns())


def tasks(place: Valley) -> dict[str, dict[str, Any]]:
    return {one.resource["id"]: one.resource for one in place.arrived if one.system == "mercy"}


def stages(place: Valley) -> dict[str | None, str]:
    place.timers()
    found = place.store.read(lambda tx: list(all_requests(tx, place.project)))
    return {one.asked: one.stage for one in found}


def test_what_changed_there_is_known_here_once(place: Valley) -> None:
    """The polled system's new status is taken in, as though it had sent it; and only once."""

    def answer(request: httpx.Request) -> httpx.Response:
        task = tasks(place)[request.url.path.rpartition("/")[2]]
        return httpx.Response(200, json={**task, "status": "in-progress"})

    assert poll(place, answer, rounds=2) == [1, 0]
    assert stages(place) == {"mercy": "accepted", "lakeside": "requested"}


@pytest.mark.parametrize(
    "bad",
    [
        lambda task: httpx.Response(404),
        lambda task: httpx.Response(302, headers={"Location": "http://elsewhere.example/Task/x"}),
        lambda task: httpx.Response(200, content=b"{"),
        lambda task: httpx.Response(200, json={**task, "id": "another", "status": "completed"}),
        lambda task: httpx.Response(200, content=b" " * 11_000_000),
        lambda task: httpx.Response(200, json={**task, "status": ["completed"]}),
    ],
    ids=["404", "redirect", "broken", "another", "too large", "strange"],
)
def test_a_bad_answer_changes_nothing(
    place: Valley, bad: Callable[[dict[str, Any]], httpx.Response]
) -> None:
    """Whatever is no Task that was asked for leaves the request as it is."""
    task = next(iter(tasks(place).values()))
    poll(place, lambda _: bad(task))
    assert stages(place)["mercy"] == "requested"


def test_a_system_that_does_not_answer_costs_one_time_out(place: Valley) -> None:
    """After the first failure the system is left alone until the next round."""
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        raise httpx.ConnectTimeout("no", request=request)

    assert poll(place, answer, rounds=2) == [0, 0]
    assert len(asked) == 2


def test_nothing_open_asks_nobody(place: Valley) -> None:
    """Once the request is answered nobody is asked any more."""
    task = next(iter(tasks(place).values()))
    body = json.dumps({**task, "status": "rejected"}).encode()
    assert place.send("mercy", "PUT", f"/fhir/Task/{task['id']}", body).status_code == 201
    place.timers()

    def answer(request: httpx.Request) -> httpx.Response:
        raise AssertionError("asked")

    assert poll(place, answer) == [0]


def test_a_request_without_consent_is_not_polled(place: Valley) -> None:
    """What its provider says would be refused, each round anew, until a consent covers it again."""

    def answer(request: httpx.Request) -> httpx.Response:
        task = tasks[request.url.path.rpartition("/")[2]]
        return httpx.Response(200, json={**task, "status": "in-progress"})

    tasks = {one.resource["id"]: one.resource for one in place.arrived if one.system == "mercy"}
    release = ("hub", "mercy", "lakeside", "clinic")
    place.permit(*release, status="inactive", dateTime="2026-04-02T09:00:00Z")
    assert poll(place, answer, rounds=2) == [0, 0]
    place.permit(*release, dateTime="2026-04-03T09:00:00Z")
    assert poll(place, answer) == [1]
    assert stages(place)["mercy"] == "accepted"


def test_a_round_that_fails_is_not_the_last(place: Valley) -> None:
    """Whatever goes wrong in one round of polling, the next one comes."""
    rounds: list[int] = []

    class Failing(RecordsPolling):
        async def turn(self) -> int:
            rounds.append(len(rounds))
            stopping.set()
            raise RuntimeError("nobody expected that")

    async def run() -> None:
        polling = Failing(lambda: place.project, place.store, place.clock, lambda _: None)
        await asyncio.wait_for(polling.run(stopping), 10)

    stopping = asyncio.Event()
    asyncio.run(run())
    assert rounds == [0]
