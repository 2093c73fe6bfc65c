"""The whole road in memory, bytes to bytes, against plain JSON and against fhir.resources."""

from __future__ import annotations

import copy
import gc
import json
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
from fhir.resources.R4B.communication import Communication
from msgspec.structs import replace

from engine.fhir.json import dumps, loads
from engine.gather import gather
from engine.intake import Arrival, Intake
from engine.parse import parse
from engine.project import Project, load
from engine.road.entries import Submission, split
from engine.road.facts import Facts
from engine.road.pipeline import run as travel
from engine.road.trip import Trip
from engine.samples.bundles import sample
from engine.store import Store
from engine.testing import ManualClock

Row = dict[str, Any]
ROUNDS = 15
VARIANTS = 40
ROOT = Path(__file__).resolve().parent.parent


def run() -> list[Row]:
    """Return the ratio of the road to JSON for a CarePlan, to model_validate for the other."""
    project = load(ROOT / "config.yaml", _environment())
    plans = [_plan(number) for number in range(VARIANTS)]
    outreach = [_outreach(number) for number in range(VARIANTS)]
    with TemporaryDirectory() as folder, closing(_recorded(project, Path(folder))) as store:
        plan_road = _road(project, _facts(project, store, plans[0]))
        outreach_road = _road(project, _facts(project, store, outreach[0]))
    decoded = [orjson.loads(body) for body in outreach]
    for road, bodies in ((plan_road, plans), (outreach_road, outreach)):
        for body in bodies:
            sent = loads(road(body))
            assert sent["resourceType"] == loads(body)["resourceType"]
            assert project.check_dialect(sent, "hrex") == []
    with _collecting_as_the_server_does():
        plan = _ratio(plan_road, plans, lambda body: orjson.dumps(orjson.loads(body)), plans)
        told = _ratio(outreach_road, outreach, Communication.model_validate, decoded)
    return [
        {
            "name": "road.careplan",
            "ratio": plan,
            "against": "orjson.loads and dumps of the same CarePlan with 20 activities",
            "target": 6.0,
            "better": "lower",
        },
        {
            "name": "road.communication",
            "ratio": told,
            "against": "fhir.resources model_validate of it alone; the road decides consent too",
            "target": 1.5,
            "better": "lower",
        },
    ]


@contextmanager
def _collecting_as_the_server_does() -> Iterator[None]:
    """Look for cyclic garbage as seldom as `carelane serve`, and not in what is loaded."""
    usual = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000)
    yield
    gc.unfreeze()
    gc.set_threshold(*usual)


def _environment() -> dict[str, str]:
    return {
        "MERCY_TOKEN_SHA256": "0" * 64,
        "HUB_TOKEN_SHA256": "1" * 64,
        "MERCY_OUTBOUND_TOKEN": "x",
        "HUB_OUTBOUND_TOKEN": "x",
    }


def _facts(project: Project, store: Store, body: bytes) -> Facts:
    """Return what the record tells about a message, as at its acceptance."""
    units = _submission(body).units
    return store.read(lambda tx: gather(tx, project, "mercy", units, at=tx.now))


def _recorded(project: Project, folder: Path) -> Store:
    """Return a record in which people, team, plan and consent of the sample day have arrived."""
    clock = ManualClock()
    store = Store.open(f"sqlite:///{folder / 'road.db'}", clock=clock)
    intake = Intake(project, store, clock)
    for name in ("01-who-is-who", "02-team-and-plan", "04-signed-consent"):
        accepted = intake.submit(Arrival("mercy", "bundle", sample(name))).result()
        assert accepted.state == "accepted", name
    return store


def _submission(body: bytes) -> Submission:
    parsed = parse(body)
    assert parsed.tree is not None
    found = split(parsed.tree, parsed.extended)
    assert isinstance(found, Submission)
    return found


def _road(project: Project, facts: Facts) -> Callable[[bytes], bytes]:
    def road(body: bytes) -> bytes:
        trip = Trip(project, replace(facts), "mercy")
        travelled = travel(_submission(body), trip)
        return dumps(travelled.outcomes[0].unit.drafts[0].resource)

    return road


def _plan(number: int) -> bytes:
    bundle = json.loads(sample("02-team-and-plan"))
    plan = next(
        e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == "CarePlan"
    )
    plan["id"] = f"plan-{number}"
    activities = plan["activity"]
    plan["activity"] = [copy.deepcopy(activities[i % len(activities)]) for i in range(20)]
    for index, activity in enumerate(plan["activity"]):
        activity.setdefault("detail", {})["description"] = f"Session {index} of plan {number}"
        activity["detail"].setdefault("status", "scheduled")
        activity.pop("reference", None)
    return json.dumps(plan).encode()


def _outreach(number: int) -> bytes:
    outreach = json.loads(sample("05-outreach"))
    outreach["id"] = f"outreach-{number}"
    return json.dumps(outreach).encode()


def _ratio(
    work: Callable[[Any], Any], items: list[Any], other: Callable[[Any], Any], theirs: list[Any]
) -> float:
    return round(statistics.median(_ratios(work, items, other, theirs)), 2)


def _ratios(
    work: Callable[[Any], Any], items: list[Any], other: Callable[[Any], Any], theirs: list[Any]
) -> Iterator[float]:
    for _ in range(ROUNDS):
        reference = _seconds(other, theirs)
        yield _seconds(work, items) / reference


def _seconds(work: Callable[[Any], Any], items: list[Any]) -> float:
    """Return the time of the processor, which other work on the machine disturbs least."""
    start = time.thread_time()
    for item in items:
        work(item)
    return time.thread_time() - start


if __name__ == "__main__":
    for row in run():
        print(row)
