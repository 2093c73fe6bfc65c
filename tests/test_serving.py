"""`carelane serve` with two processes that take in: whichever one asks, it is one engine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil  # type: ignore[import-untyped]
import pytest
from town import REPOSITORY, TOKENS, environment
from typer.testing import CliRunner

from engine.cli import build
from engine.samples.bundles import sample
from engine.samples.running import free_port
from engine.store import Store

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc")

TALKERS = 40
"""Connections opened at most until each process has got one: odds of 2 to the 40th."""


@dataclass
class Server:
    """Hold a running server, its record, and a connection to each process that takes in."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes]
    open: list[httpx.Client] = field(default_factory=list)

    @property
    def store(self) -> str:
        return f"sqlite:///{self.folder / 'record.db'}"

    def client(self) -> httpx.Client:
        """Return a sender with one connection of its own."""
        headers = {"Authorization": f"Bearer {TOKENS['mercy']}"}
        url = f"http://127.0.0.1:{self.port}"
        limits = httpx.Limits(max_connections=1)
        made = httpx.Client(base_url=url, headers=headers, timeout=30, limits=limits)
        self.open.append(made)
        return made

    def both(self) -> tuple[httpx.Client, httpx.Client]:
        """Return a sender to each of the two processes."""
        found: dict[int, httpx.Client] = {}
        for _ in range(TALKERS):
            client = self.client()
            found.setdefault(self.answers(client), client)
            if len(found) == 2:
                one, other = found.values()
                return one, other
        raise AssertionError(f"only {list(found)} answered")

    def answers(self, client: httpx.Client) -> int:
        """Return the process that holds a sender's connection."""
        with client.stream("GET", "/healthz") as told:
            port = told.extensions["network_stream"].get_extra_info("client_addr")[1]
            told.read()
        for child in self.children():
            with suppress(psutil.Error):
                if any(one.raddr and one.raddr[1] == port for one in child.net_connections()):
                    return int(child.pid)
        raise AssertionError("nobody holds it")

    def children(self) -> list[psutil.Process]:
        return list(psutil.Process(self.process.pid).children())


def until(holds: Callable[[], Any], seconds: float = 60) -> Any:
    """Return what `holds` gives once it is anything."""
    limit = time.monotonic() + seconds
    while True:
        with suppress(httpx.TransportError):
            if found := holds():
                return found
        assert time.monotonic() < limit, "it did not happen in time"
        time.sleep(0.02)


def started(folder: Path, port: int, *more: str) -> subprocess.Popen[bytes]:
    """Start a server on a record in a folder."""
    command = [sys.executable, "-m", "engine", "serve", "--port", str(port), *more]
    environ = environment(f"sqlite:///{folder / 'record.db'}", HUB_URL="http://127.0.0.1:9/fhir")
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(command, cwd=REPOSITORY, env={**os.environ, **environ}, stderr=log)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run a server that knows the sample people and their signed consent."""
    folder, port = tmp_path_factory.mktemp("serving"), free_port()
    process = started(folder, port, "--processes", "2")
    made = Server(folder, port, process)
    try:
        client = made.client()
        until(lambda: process.poll() is not None or _ready(client))
        for name in ("01-who-is-who", "04-signed-consent"):
            assert client.post("/fhir", content=sample(name)).status_code == 200
        yield made
    finally:
        process.kill()
        process.wait()
        for client in made.open:
            client.close()


def _ready(client: httpx.Client) -> bool:
    return bool(client.get("/readyz").json()["deliveries"] == "running")


def outreach(number: int) -> dict[str, Any]:
    """Return the sample outreach under another id."""
    made: dict[str, Any] = json.loads(sample("05-outreach"))
    made["identifier"][0]["value"] = made["id"] = f"outreach-{number}"
    return made


def send(client: httpx.Client, number: int, key: str | None = None) -> httpx.Response:
    headers = {"Idempotency-Key": key} if key else {}
    return client.post("/fhir/Communication", json=outreach(number), headers=headers)


def accepted(client: httpx.Client) -> float:
    """Return how many outcomes of submissions the server has counted."""
    lines = client.get("/metrics").text.splitlines()
    name = "carelane_messages_received_total{"
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def told(*clients: httpx.Client) -> float:
    """Return what all of these have counted: each puts that down when it is asked."""
    return max([accepted(client) for client in clients])


def test_each_process_answers_and_shows_what_both_counted(server: Server) -> None:
    """Connections reach both; after each submission both say how many there were in all."""
    one, other = server.both()
    before = told(one, other)
    for number, client in enumerate((one, other, one), 1):
        assert send(client, number).status_code == 201
        assert accepted(client) == before + number
    assert accepted(one) == accepted(other) == before + 3
    assert one.get("/readyz").json() == other.get("/readyz").json()


def test_the_same_submission_to_both_at_once_is_accepted_once(server: Server) -> None:
    """However many send it where and when, all get one answer, and the record has one message."""
    clients = server.both()
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda n: send(clients[n % 2], 100, "the same"), range(24)))
    assert {response.status_code for response in answers} == {201}
    assert len({response.headers["x-message-id"] for response in answers}) == 1
    with Store.open(server.store) as store:
        rows = store.read(lambda tx: tx.messages.search(limit=1000))
    assert [row.id for row in rows].count(answers[0].headers["x-message-id"]) == 1
    assert len({row.id for row in rows}) == len(rows)


def test_a_consent_revoked_at_one_process_counts_at_the_other(server: Server) -> None:
    """What a process remembers of a consent does not outlive a change that another one made."""
    one, other = server.both()
    assert (send(one, 200).status_code, send(other, 201).status_code) == (201, 201)
    consent = next(
        entry["resource"]
        for entry in json.loads(sample("04-signed-consent"))["entry"]
        if entry["resource"]["resourceType"] == "Consent"
    )
    path = f"/fhir/Consent/{consent['id']}"
    assert one.put(path, json={**consent, "status": "inactive"}).is_success
    assert (send(other, 202).status_code, send(one, 203).status_code) == (403, 403)
    assert other.put(path, json=consent).is_success
    assert (send(one, 204).status_code, send(other, 205).status_code) == (201, 201)


def test_a_port_that_is_taken_is_told_at_once(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second server on the same port says so in one line, and ends with exit code 2."""
    for name, value in environment(f"sqlite:///{tmp_path / 'other.db'}").items():
        monkeypatch.setenv(name, value)
    config, port = str(REPOSITORY / "config.yaml"), str(server.port)
    for count in ("1", "2"):
        words = ["serve", "--config", config, "--port", port, "--processes", count]
        done = CliRunner().invoke(build("serve"), words)
        said = f"Carelane cannot listen on http://127.0.0.1:{port}: Address already in use\n"
        assert (done.exit_code, done.output) == (2, said)


def test_a_killed_process_is_replaced_while_the_other_answers(server: Server) -> None:
    """One of two is killed: the other answers at once, another follows, and no figure goes down."""
    one, other = server.both()
    for number in (300, 301):
        assert send(one, number).status_code == 201
    before = told(one, other)
    victim = server.answers(one)
    psutil.Process(victim).kill()
    assert send(other, 302).status_code == 201
    assert accepted(other) == before + 1
    until(lambda: len(server.children()) == 3)
    fresh, _ = until(server.both)
    assert victim not in {child.pid for child in server.children()}
    assert accepted(fresh) == before + 1


def test_told_to_stop_it_keeps_all_that_it_acknowledged(server: Server) -> None:
    """SIGTERM in the midst of submissions: all processes end in order, nothing is lost."""
    children = server.children()
    acknowledged: list[str] = []

    def speak(voice: int) -> None:
        client = server.client()
        with suppress(httpx.TransportError):
            for number in range(1000):
                told = send(client, 1000 * (voice + 1) + number)
                assert told.status_code == 201
                acknowledged.append(told.headers["x-message-id"])

    with ThreadPoolExecutor(8) as pool:
        speaking = [pool.submit(speak, voice) for voice in range(8)]
        until(lambda: len(acknowledged) >= 10)
        server.process.terminate()
        assert server.process.wait(30) == 0
        for one in speaking:
            one.result(30)
    assert not any(child.is_running() for child in children)
    with Store.open(server.store) as store:
        kept = {row.id for row in store.read(lambda tx: tx.messages.search(limit=100_000))}
        assert store.read(lambda tx: tx.audit.verify()) == []
    assert set(acknowledged) <= kept
