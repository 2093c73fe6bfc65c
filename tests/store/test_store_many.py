"""Two servers and two workers as real processes on one PostgreSQL keep the same promises."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import httpx
import pytest

from engine.samples.bundles import sample
from engine.samples.running import free_port
from engine.store import Store

REPOSITORY = Path(__file__).resolve().parent.parent.parent
TOKEN = "mercy-secret"
MEMBERS = 6
EACH = 5
HEADERS = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/fhir+json"}


class Hub(BaseHTTPRequestHandler):
    """Note in which order the Communications of each member arrive."""

    protocol_version = "HTTP/1.1"
    arrived: ClassVar[defaultdict[str, list[int]]] = defaultdict(list)

    def do_PUT(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if body["resourceType"] == "Communication":
            member, number = body["payload"][0]["contentString"].split()
            self.arrived[member].append(int(number))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def hub() -> Iterator[str]:
    """Run the destination; yield its base URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/fhir"
    server.shutdown()


@contextmanager
def running(environ: Mapping[str, str], *command: str) -> Iterator[None]:
    """Run a command of carelane until the block ends; it must end by itself when told to."""
    given = [sys.executable, "-m", "engine", *command, "--config", str(REPOSITORY / "config.yaml")]
    process = subprocess.Popen(given, env={**os.environ, **environ}, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) in (0, -signal.SIGTERM)


def until(ready: object, seconds: float = 60) -> None:
    """Wait until something is so."""
    assert callable(ready)
    limit = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < limit, "it did not happen in time"
        time.sleep(0.1)


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def family(number: int) -> str:
    """Return the people and the consent of one member."""
    entries = json.loads(sample("01-who-is-who"))["entry"]
    entries += json.loads(sample("04-signed-consent"))["entry"]
    for entry in entries:
        if entry["resource"]["resourceType"] in ("Patient", "RelatedPerson", "Consent"):
            for identifier in entry["resource"].get("identifier", ()):
                identifier["value"] += f"-{number}"
    text = json.dumps({"resourceType": "Bundle", "type": "batch", "entry": entries})
    for name in ("avery", "dana", "release"):
        text = text.replace(f"/{name}", f"/{name}-{number}")
        text = text.replace(f'"id": "{name}"', f'"id": "{name}-{number}"')
    return text


def outreach(member: int, number: int) -> str:
    """Return one Communication about a member."""
    made = json.loads(sample("05-outreach"))
    made["id"] = made["identifier"][0]["value"] = f"outreach-{member}-{number}"
    made["subject"]["reference"] = f"Patient/avery-{member}"
    made["payload"] = [{"contentString": f"{member} {number}"}]
    return json.dumps(made)


@pytest.mark.parametrize("store_url", ["postgresql"], indirect=True)
def test_two_servers_and_two_workers_share_a_record(store_url: str, hub: str) -> None:
    """Each Communication arrives once, in order per member, whichever server took it in."""
    Hub.arrived.clear()
    ports = [str(free_port()), str(free_port())]
    bases = [f"http://127.0.0.1:{port}" for port in ports]
    environ = {
        "CARELANE_STORE": store_url.replace("postgresql+psycopg", "postgresql"),
        "MERCY_TOKEN_SHA256": hashlib.sha256(TOKEN.encode()).hexdigest(),
        "HUB_TOKEN_SHA256": "0" * 64,
        "MERCY_OUTBOUND_TOKEN": "x",
        "HUB_OUTBOUND_TOKEN": "x",
        "HUB_URL": hub,
    }
    alone = ("--no-deliver", "--processes", "1")
    with ExitStack() as stack:
        for port in ports:
            stack.enter_context(running(environ, "serve", *alone, "--port", port))
        for _ in range(2):
            stack.enter_context(running(environ, "worker"))
        until(lambda: all(answers(base) for base in bases))

        def play(member: int) -> None:
            with httpx.Client(headers=HEADERS, timeout=60) as client:
                told = client.post(f"{bases[member % 2]}/fhir", content=family(member))
                assert told.status_code == 200, told.text
                for number in range(EACH):
                    base = bases[(member + number) % 2]
                    sent = client.post(
                        f"{base}/fhir/Communication", content=outreach(member, number)
                    )
                    assert sent.status_code == 201, sent.text

        play(0)  # who everybody is, once; then all at the same time
        with ThreadPoolExecutor(MEMBERS) as pool:
            list(pool.map(play, range(1, MEMBERS)))
        until(lambda: sum(map(len, Hub.arrived.values())) >= MEMBERS * EACH)
        until(lambda: _all_done(environ["CARELANE_STORE"]))
    assert Hub.arrived == {str(member): list(range(EACH)) for member in range(MEMBERS)}
    with Store.open(environ["CARELANE_STORE"]) as store:
        assert store.read(lambda tx: tx.audit.verify()) == []
        decided = store.read(lambda tx: _decided(tx))
    assert decided == MEMBERS * EACH


def _all_done(url: str) -> bool:
    with Store.open(url) as store:
        return not store.read(lambda tx: tx.deliveries.depth())


def _decided(tx: object) -> int:
    """Count the Communications that left on a permit of their own."""
    rows = tx.deliveries.search(limit=1000)  # type: ignore[attr-defined]
    of = tx.decisions.of_delivery  # type: ignore[attr-defined]
    return sum(
        [one.decision for one in of(row.id)] == ["permit"]
        for row in rows
        if row.type == "Communication"
    )
