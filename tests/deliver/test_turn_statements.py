"""A turn asks the database little: the same few statements for many deliveries as for one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rig import permit, put

from engine.deliver.destination import Destination
from engine.deliver.ports import nothing_more
from engine.deliver.turn import Desk, Result, Turned
from engine.store import Store, Transaction

PLACES = {name: Destination(name, f"http://{name}.example/fhir") for name in ("hub", "mercy")}
MOST = dict.fromkeys(PLACES, 64)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(f"sqlite:///{tmp_path / 'record.db'}") as store:
        yield store


def traced(store: Store, work: Callable[[Transaction], Turned]) -> tuple[Turned, list[str]]:
    """Do a turn and return with it the statements that it ran, their values written in."""
    found: list[str] = []

    def run(tx: Transaction) -> Turned:
        found.clear()
        database: Any = tx.connection.connection.driver_connection
        database.set_trace_callback(found.append)
        try:
            turned = work(tx)
            tx.flush()
            return turned
        finally:
            database.set_trace_callback(None)

    return store.write(run).result(30), found


def full_turn(store: Store, count: int) -> list[str]:
    """Return what a turn ran that recorded `count` arrivals and claimed as many."""

    def fill(tx: Transaction) -> None:
        envelope = {"version": 1, "entity": "t1", "reference": "CareTeam/t1"}
        for number in range(2 * count):
            member = f"{count}-m{number % count}"
            put(tx, f"{count}-{number}", "hub", member, envelope=envelope)

    store.write(fill).result(30)
    desk = Desk("w", permit, nothing_more, PLACES, lambda: 0.0, 10.0, 64)
    first, _ = traced(store, desk.turn([], MOST))
    results = [Result(task.delivery, "accept") for task in first.tasks]
    second, found = traced(store, desk.turn(results, MOST))
    assert len(first.tasks) == len(second.tasks) == count
    arrived = [Result(task.delivery, "accept") for task in second.tasks]
    traced(store, desk.turn(arrived, {}))
    return found


def test_a_turn_of_many_runs_no_more_statements_than_a_turn_of_one(store: Store) -> None:
    """Claims, rivals and arrivals are asked for and recorded all at once."""
    counts = [
        len([one for one in full_turn(store, count) if not one.startswith("INSERT INTO decision")])
        for count in (1, 16)
    ]
    assert counts[0] == counts[1] <= 12


def test_each_statement_of_a_turn_is_served_by_an_index(store: Store) -> None:
    """Nothing that a turn asks reads a whole table, however long the record is."""
    found = full_turn(store, 8)

    def plans(tx: Transaction) -> list[str]:
        asked = [tx.connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}") for sql in found]
        return [str(row[3]) for rows in asked for row in rows]

    scans = [
        line for line in store.read(plans) if line.startswith("SCAN") and " USING " not in line
    ]
    assert [line for line in scans if line.split()[1] in ("delivery", "unit", "lane")] == []
