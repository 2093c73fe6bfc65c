"""What a message says it will ask about its own resources is all that it then asks about them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from town import Town, town

from engine.ahead import Ahead, ask_together
from engine.carried import with_carried
from engine.gather import asking, gather
from engine.message import Unit
from engine.road.facts import Facts
from engine.samples.bundles import sample
from engine.store import Transaction

Statements = list[str]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Town]:
    """Return a town whose record has the sample people, consent and plan."""
    with town(tmp_path) as built:
        for name in ("01-who-is-who", "04-signed-consent", "02-team-and-plan"):
            assert built.send("mercy", "POST", "/fhir", sample(name)).status_code == 200
        yield built


def plan(id: str) -> dict[str, Any]:
    entries = json.loads(sample("02-team-and-plan"))["entry"]
    found: dict[str, Any] = next(
        entry["resource"] for entry in entries if entry["resource"]["resourceType"] == "CarePlan"
    )
    return {**found, "id": id}


def gathered(place: Town, tx: Transaction, resource: dict[str, Any]) -> Facts:
    unit = Unit(0, "CarePlan", "CarePlan", resource)
    facts = gather(tx, place.project, "mercy", [unit], at=tx.now)
    return with_carried(tx, place.project, "mercy", [unit], facts)


@pytest.mark.parametrize("id", ["plan", "unheard-of"])
def test_nothing_is_left_to_ask_of_a_resource_itself(place: Town, id: str) -> None:
    """Of a plan on record, or a new one, the road reads nothing more than was said before."""
    resource = plan(id)

    def read(tx: Transaction, *, together: bool) -> tuple[Statements, Facts]:
        gathered(place, tx, plan("another"))  # so that the people are remembered
        if together:
            units = [Unit(0, "CarePlan", "CarePlan", resource)]
            says = Ahead(lambda _: None, lambda tx: asking(tx, place.project, "mercy", units))
            ask_together(tx, [says])
        statements: Statements = []
        driver = tx.connection.connection.dbapi_connection
        driver.set_trace_callback(statements.append)
        facts = gathered(place, tx, resource)
        driver.set_trace_callback(None)
        return statements, facts

    alone = place.store.write(lambda tx: read(tx, together=False)).result(30)
    together = place.store.write(lambda tx: read(tx, together=True)).result(30)
    assert together[1] == alone[1]
    assert len(alone[0]) >= 1
    assert together[0] == []
