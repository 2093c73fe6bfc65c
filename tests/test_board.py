"""What the processes of one server tell each other: sums that never go down, and nudges."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
import town as places
from prometheus_client.parser import text_string_to_metric_families

from engine.metrics import Metrics
from engine.server import create_app
from engine.server.board import Board, Page
from engine.server.pipes import Bell
from engine.testing import ManualClock


def _counting(board: Board, name: str) -> tuple[Metrics, Page]:
    metrics = Metrics()
    return metrics, board.page(name, metrics)


def _shown(metrics: Metrics, page: Page) -> dict[str, float]:
    text = metrics.exposition(page.together(), (), ManualClock()).decode()
    return {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.labels.get("le") in (None, "+Inf")
    }


def test_whichever_process_answers_shows_the_sum(tmp_path: Path) -> None:
    """Counters and times of all processes are added up, the same wherever one asks."""
    (one, first), (other, second) = (_counting(Board(tmp_path), n) for n in ("api-1", "api-2"))
    one.received.labels("mercy", "accepted").inc(3)
    other.received.labels("mercy", "accepted").inc(4)
    other.delivered.labels("hub").inc()
    one.accepting.observe(0.2)
    other.accepting.observe(0.3)
    second.tell()
    shown = _shown(one, first)
    assert shown["carelane_messages_received_total"] == 7
    assert shown["carelane_deliveries_delivered_total"] == 1
    assert shown["carelane_accept_seconds_count"] == 2
    assert shown["carelane_accept_seconds_bucket"] == 2
    assert shown["carelane_accept_seconds_sum"] == pytest.approx(0.5)
    assert _shown(other, second) == shown


def test_no_process_shows_less_than_another_did_before(tmp_path: Path) -> None:
    """What one has shown, even if it was counted just then, all others show afterwards."""
    (one, first), (other, second) = (_counting(Board(tmp_path), n) for n in ("api-1", "api-2"))
    seen = []
    for _ in range(5):
        one.delivered.labels("hub").inc()
        seen.append(_shown(one, first)["carelane_deliveries_delivered_total"])
        seen.append(_shown(other, second)["carelane_deliveries_delivered_total"])
    assert seen == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]


def test_what_begins_again_counts_on(tmp_path: Path) -> None:
    """A process that was killed leaves what it told; its successor adds to that, each time."""
    board = Board(tmp_path)
    for life in range(1, 4):
        metrics, page = _counting(board, "deliveries")
        metrics.delivered.labels("hub").inc(10)
        assert _shown(metrics, page)["carelane_deliveries_delivered_total"] == 10 * life


def test_a_full_disk_keeps_what_was_told_last(tmp_path: Path) -> None:
    """Where nothing can be told, the process goes on, and the others show what they know."""
    board = Board(tmp_path / "absent")
    metrics, page = _counting(board, "api-1")
    metrics.delivered.labels("hub").inc()
    assert _shown(metrics, page)["carelane_deliveries_delivered_total"] == 1
    assert board.condition() == "starting"


@pytest.mark.parametrize(
    ("condition", "status"), [("starting", 200), ("running", 200), ("failing", 503)]
)
def test_ready_tells_how_deliveries_are(tmp_path: Path, condition: str, status: int) -> None:
    """A server whose deliveries ended is not ready; one whose deliveries start is."""
    board = Board(tmp_path)
    if condition != "starting":
        board.tell_condition("running")
    if condition == "failing":
        board.tell_condition("failing")
    with places.town(tmp_path) as town:
        town.app = create_app(
            town.project, town.store, clock=town.clock, deliveries=Board(tmp_path).condition
        )
        told = town.send("", "GET", "/readyz")
    assert (told.status_code, told.json()["deliveries"]) == (status, condition)


def test_a_bell_is_heard_however_often_it_was_rung() -> None:
    """Any thread rings; rung more often than a pipe holds, it neither blocks nor is missed."""

    async def listen() -> None:
        bell, heard = Bell(), asyncio.Event()
        ringing = threading.Thread(target=lambda: [bell.ring() for _ in range(70_000)])
        ringing.start()
        ringing.join(30)
        assert not ringing.is_alive()
        with bell.heard(heard.set):
            async with asyncio.timeout(10):
                await heard.wait()

    asyncio.run(listen())


def test_a_figure_counts_on_each_time_it_is_asked_for() -> None:
    """The figure under some labels is one figure, and others have their own."""
    metrics = Metrics()
    for system in ("mercy", "hub", "mercy"):
        metrics.received.labels(system, "accepted").inc()
    told = [(labels.get("system"), value) for _, labels, value in metrics.samples()]
    counted = {system: value for system, value in told if system}
    assert (counted["mercy"], counted["hub"]) == (2.0, 1.0)
