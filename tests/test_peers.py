"""A FHIR server that nobody here wrote stands in for the health plan, and gets the whole day."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from town import Town, town

from engine.deliver.worker import Settings
from engine.samples.bundles import sample
from engine.samples.running import free_port
from engine.sending import Sending, make_worker

PATIENCE = 60


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the base URL of a real FHIR server in a process of its own."""
    if importlib.util.find_spec("sekmet") is None:
        pytest.skip("sekmet-fhir is not installed")
    port, folder = free_port(), tmp_path_factory.mktemp("peer")
    command = [sys.executable, "-m", "sekmet.cli", "serve", "--host", "127.0.0.1"]
    if importlib.util.find_spec("sekmet.cli") is None:
        command = [str(Path(sys.executable).with_name("sekmet")), "serve", "--host", "127.0.0.1"]
    process = subprocess.Popen(
        [*command, "--port", str(port)],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "NO_PROXY": "127.0.0.1"},
    )
    base = f"http://127.0.0.1:{port}/fhir"
    try:
        _await(process, f"{base}/metadata")
        yield base
    finally:
        process.terminate()
        process.wait(10)


def _await(process: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + PATIENCE
    with httpx.Client(transport=httpx.HTTPTransport(retries=3), timeout=5) as client:
        while time.monotonic() < deadline:
            if process.poll() is not None:
                pytest.fail("the peer ended")
            try:
                if client.get(url).status_code == 200:
                    return
            except httpx.TransportError:
                continue
    pytest.fail("the peer did not start")


def deliver(place: Town) -> None:
    """Deliver over real HTTP until nothing is due any more."""

    async def run() -> None:
        worker = make_worker(
            Sending(place.project), place.store, place.clock, settings=Settings(name="peer")
        )
        task = asyncio.create_task(worker.run())
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            open_ones = place.store.read(
                lambda tx: [r for r in tx.deliveries.depth() if r.state in ("waiting", "leased")]
            )
            if not open_ones:
                break
            await asyncio.sleep(0.02)
        worker.stop()
        await task

    asyncio.run(run())


def test_everything_arrives_at_a_server_of_other_peoples(peer: str, tmp_path: Path) -> None:
    """Team, plan, consent and Communication stand there, and each reference among them leads on."""
    with town(tmp_path, HUB_URL=peer) as place:
        for name in ("01-who-is-who", "02-team-and-plan", "04-signed-consent", "05-outreach"):
            body = sample(name)
            path = "/fhir/Communication" if b'"Communication"' in body[:60] else "/fhir"
            response = place.send("mercy", "POST", path, body)
            assert response.status_code in (200, 201), response.text
        deliver(place)
        rows = place.store.read(lambda tx: tx.deliveries.search(limit=100))
        assert {(row.type, row.state, row.reason) for row in rows if row.state != "delivered"} == (
            set()
        )
        with httpx.Client(base_url=f"{peer}/") as client:
            kept = {kind: _all(client, kind) for kind in sorted({row.type for row in rows})}
    assert {"CareTeam", "CarePlan", "Consent", "Communication", "Patient"} <= kept.keys()
    known = {f"{kind}/{one['id']}" for kind, found in kept.items() for one in found}
    referred = {r for found in kept.values() for r in _references(found) if not r.startswith("#")}
    assert {r for r in referred if not r.startswith("http")} <= known


def _all(client: httpx.Client, kind: str) -> list[dict[str, Any]]:
    bundle = client.get(kind, params={"_count": 100}).json()
    found = [entry["resource"] for entry in bundle.get("entry", ())]
    assert found, kind
    return found


def _references(tree: Any) -> Iterator[str]:
    if isinstance(tree, dict):
        if isinstance(tree.get("reference"), str):
            yield tree["reference"]
        for value in tree.values():
            yield from _references(value)
    elif isinstance(tree, list):
        for item in tree:
            yield from _references(item)
