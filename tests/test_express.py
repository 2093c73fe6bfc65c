"""Submissions go a shorter way, to the same endpoints and with the same answers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
import town as places

from engine.server import create_app

BUNDLE = {"resourceType": "Bundle", "type": "batch", "entry": []}
TEAM = {"resourceType": "CareTeam", "id": "7", "status": "active"}
REQUESTS: dict[str, tuple[str, str, Any, dict[str, str]]] = {
    "a Bundle": ("POST", "/fhir", BUNDLE, {}),
    "a trailing slash": ("POST", "/fhir/", BUNDLE, {}),
    "one resource": ("POST", "/fhir/CareTeam", TEAM, {}),
    "an update": ("PUT", "/fhir/CareTeam/7", TEAM, {}),
    "another id than the body": ("PUT", "/fhir/CareTeam/8", TEAM, {}),
    "no such type": ("POST", "/fhir/Nothing", TEAM, {}),
    "no JSON": ("POST", "/fhir", BUNDLE, {"content-type": "text/plain"}),
    "nobody": ("POST", "/fhir", BUNDLE, {"authorization": "Bearer nobody"}),
    "a long key": ("POST", "/fhir", BUNDLE, {"idempotency-key": "k" * 300}),
    "another method": ("DELETE", "/fhir/CareTeam/7", None, {}),
    "a path behind": ("PUT", "/fhir/CareTeam/7/x", TEAM, {}),
    "no path": ("PUT", "/fhir/CareTeam/", TEAM, {}),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_the_short_way_answers_as_the_common_one(tmp_path: Path, name: str) -> None:
    """Status, headers and body are the same, but for the ids that each message gets."""
    method, path, body, headers = REQUESTS[name]
    said = []
    for short in (True, False):
        folder = tmp_path / str(short)
        folder.mkdir()
        with places.town(folder) as town:
            if not short:
                town.app.express = None
            told = town.send("mercy", method, path, body, headers)
            kept = {k: v for k, v in told.headers.items() if k not in ("x-message-id", "location")}
            said.append((told.status_code, kept, len(told.content), set(told.headers)))
    assert said[0] == said[1]


def test_a_type_with_an_endpoint_of_its_own_keeps_it(tmp_path: Path) -> None:
    """What another room answers, such as Subscription, does not go the short way."""
    with places.town(tmp_path) as town:
        express = town.app.express
        assert express is not None
        for method, path in (
            ("POST", "/fhir/Subscription"),
            ("PUT", "/fhir/Subscription/1"),
            ("POST", "/fhir/$process-message"),
            ("GET", "/fhir/CareTeam/7"),
        ):
            assert express.take({"type": "http", "method": method, "path": path}) is None
        assert express.take({"type": "http", "method": "POST", "path": "/fhir/CareTeam"})


def test_a_failure_on_the_short_way_is_an_operation_outcome(tmp_path: Path) -> None:
    """A bug of ours answers 500 with an OperationOutcome, and no trace of it."""

    async def send(app: Any) -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            headers = {"authorization": f"Bearer {places.TOKENS['mercy']}"}
            return await client.post("/fhir", json=BUNDLE, headers=headers)

    with places.town(tmp_path) as town:
        app = create_app(town.project, town.store, clock=town.clock)

        def submit(_arrival: Any) -> Any:
            raise ZeroDivisionError("a payload value")

        app.state.intake.submit = submit
        told = asyncio.run(send(app))
    assert told.status_code == 500
    assert told.json()["resourceType"] == "OperationOutcome"
    assert "payload value" not in told.text
