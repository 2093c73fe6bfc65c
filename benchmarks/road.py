"""The whole road in memory, bytes to bytes, against plain JSON and against fhir.resources."""

from __future__ import annotations

import copy
import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
from fhir.resources.R4B.communication import Communication

from engine.fhir.json import dumps, loads
from engine.message import Next
from engine.parse import parse
from engine.project import Project, load
from engine.road.entries import Submission, split
from engine.road.facts import Facts
from engine.road.pipeline import run as travel
from engine.road.trip import Trip
from engine.samples.bundles import sample

Row = dict[str, Any]
ROUNDS = 15
VARIANTS = 40
AT = "2026-05-01T10:00:00.000000Z"
ROOT = Path(__file__).resolve().parent.parent


def run() -> list[Row]:
    """Return the ratio of the road to JSON for a CarePlan, to fhir.resources for a Communication."""
    project = load(ROOT / "config.yaml", _environment())
    facts = _facts(project)
    plans = [_plan(number) for number in range(VARIANTS)]
    outreach = [_outreach(number) for number in range(VARIANTS)]
    decoded = [orjson.loads(body) for body in outreach]
    road = _road(project, facts)
    for body in (*plans, *outreach):
        sent = loads(road(body))
        assert sent["resourceType"] == loads(body)["resourceType"]
        assert project.check_dialect(sent, "hrex") == []
    return [
        {
            "name": "road.careplan",
            "ratio": _ratio(road, plans, lambda body: orjson.dumps(orjson.loads(body)), plans),
            "against": "orjson.loads and dumps of the same CarePlan with 20 activities",
            "target": 6.0,
            "better": "lower",
        },
        {
            "name": "road.communication",
            "ratio": _ratio(road, outreach, Communication.model_validate, decoded),
            "against": "fhir.resources model_validate of it alone; the road decides consent too",
            "target": 1.5,
            "better": "lower",
        },
    ]


def _environment() -> dict[str, str]:
    return {
        "MERCY_TOKEN_SHA256": "0" * 64,
        "HUB_TOKEN_SHA256": "1" * 64,
        "MERCY_OUTBOUND_TOKEN": "x",
        "HUB_OUTBOUND_TOKEN": "x",
    }


def _facts(project: Project) -> Facts:
    """Return the world after people, team and consent of the sample day have passed."""
    facts = Facts(AT)
    for name in ("01-who-is-who", "02-team-and-plan", "04-signed-consent"):
        submission = _submission(sample(name))
        travelled = travel(submission, Trip(project, facts, "mercy"))
        assert all(isinstance(outcome, Next) for outcome in travelled.outcomes), name
        units = [_stored(outcome.unit) for outcome in travelled.outcomes]
        facts = replace(facts, links=facts.links.including(travelled.links)).knowing(units)
    return facts


def _stored(unit: Any) -> Any:
    canonical = copy.deepcopy(unit.canonical)
    canonical.setdefault("meta", {})["versionId"] = "1"
    return replace(unit, canonical=canonical)


def _submission(body: bytes) -> Submission:
    tree = parse(body).tree
    assert tree is not None
    found = split(tree)
    assert isinstance(found, Submission)
    return found


def _road(project: Project, facts: Facts) -> Callable[[bytes], bytes]:
    trip = Trip(project, facts, "mercy")

    def road(body: bytes) -> bytes:
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
    start = time.perf_counter()
    for item in items:
        work(item)
    return time.perf_counter() - start


if __name__ == "__main__":
    for row in run():
        print(row)
