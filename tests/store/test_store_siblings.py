"""Siblings written by two processes at once: no one of them is lost from the whole."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from sibling_town import PEOPLE, bundle_of, patient_of, project_with, sibling

from engine.fhir.json import dumps, loads
from engine.intake import Arrival, Intake
from engine.store import Store
from engine.testing import ManualClock

EACH = 6


def test_two_writers_lose_no_sibling(store_url: str, clock: ManualClock) -> None:
    """Two engines on one record take siblings of one team in turns; all stand in it."""
    project = project_with((), False)
    with Store.open(store_url, clock=clock) as one, Store.open(store_url, clock=clock) as other:
        intakes = [Intake(project, store, clock) for store in (one, other)]
        intakes[0].submit(_arrival(patient_of(), *PEOPLE)).result()

        def feed(number: int) -> list[int]:
            given = (_arrival(sibling(f"t_{number}_{i}", "ann")) for i in range(EACH))
            return [intakes[number].submit(each).result().answer.status for each in given]

        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(feed, (0, 1))) == [[200] * EACH] * 2
        (row,) = one.read(lambda tx: tx.resources.of_type("CareTeam"))
        assert row.version == 2 * EACH
        assert len(loads(row.body)["participant"]) == 2 * EACH


def _arrival(*resources: dict[str, object]) -> Arrival:
    return Arrival("mercy", "bundle", dumps(bundle_of(*resources)))
