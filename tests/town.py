"""A small town for tests: the real engine on a real store, and destinations that take notes."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from empty_record import empty_record

from engine.deliver.destination import Destination
from engine.deliver.worker import Settings, Worker
from engine.fhir.json import loads
from engine.project import Project, load
from engine.samples.bundles import sample
from engine.sending import Sending, make_worker
from engine.server import create_app
from engine.store import Store
from engine.testing import HttpxTransport, ManualClock

TOKENS = {"mercy": "mercy-secret", "hub": "hub-secret"}
REPOSITORY = Path(__file__).resolve().parent.parent


def environment(store: str, **more: str) -> dict[str, str]:
    """Return what config.yaml of this repository asks of the environment."""
    digests = {name: hashlib.sha256(token.encode()).hexdigest() for name, token in TOKENS.items()}
    return {
        "CARELANE_STORE": store,
        "MERCY_TOKEN_SHA256": digests["mercy"],
        "HUB_TOKEN_SHA256": digests["hub"],
        "MERCY_OUTBOUND_TOKEN": "to-mercy",
        "HUB_OUTBOUND_TOKEN": "to-hub",
        **more,
    }


@dataclass
class Arrived:
    """One request that reached a destination."""

    system: str
    method: str
    path: str
    key: str
    resource: dict[str, Any]


Script = Callable[[Arrived], httpx.Response | None]


@dataclass
class Town:
    """The engine with its store and clock; `arrived` lists what reached a destination."""

    project: Project
    store: Store
    clock: ManualClock
    arrived: list[Arrived] = field(default_factory=list)
    script: Script | None = None

    def __post_init__(self) -> None:
        self.app = create_app(self.project, self.store, clock=self.clock)

    def send(
        self,
        system: str,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Send one request to the engine as a system (or as nobody, for system '')."""
        return asyncio.run(self._send(system, method, path, body, headers))

    async def _send(
        self, system: str, method: str, path: str, body: Any, headers: Mapping[str, str] | None
    ) -> httpx.Response:
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        given = {"Content-Type": "application/fhir+json"}
        if system:
            given["Authorization"] = f"Bearer {TOKENS.get(system, system)}"
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        async with httpx.AsyncClient(transport=transport, base_url="http://engine") as client:
            return await client.request(
                method, path, content=content, headers={**given, **(headers or {})}
            )

    def post(self, system: str, resource: Any, **headers: str) -> httpx.Response:
        """Send a Bundle to the base, or a resource to its type."""
        kind = resource["resourceType"]
        path = "/fhir" if kind == "Bundle" else f"/fhir/{kind}"
        return self.send(system, "POST", path, resource, headers)

    def deliver(self, turns: int = 40) -> list[Arrived]:
        """Let a worker deliver whatever is due now; return what arrived in this go."""
        before = len(self.arrived)
        asyncio.run(self._deliver(turns))
        return self.arrived[before:]

    async def _deliver(self, turns: int) -> None:
        worker: Worker = make_worker(
            Sending(self.project),
            self.store,
            self.clock,
            transport=HttpxTransport(self._connect),
            settings=Settings(name="test"),
        )
        task = asyncio.create_task(worker.run())
        for _ in range(turns):
            await asyncio.sleep(0.01)
            if not self._due():
                break
        worker.stop()
        await task

    def _due(self) -> bool:
        now = self.clock.now()
        rows = self.store.read(lambda tx: tx.deliveries.search(state="waiting"))
        leased = self.store.read(lambda tx: tx.deliveries.search(state="leased"))
        return bool(leased) or any(row.due <= now for row in rows)

    def _connect(self, destination: Destination) -> httpx.AsyncBaseTransport:
        def answer(request: httpx.Request) -> httpx.Response:
            seen = Arrived(
                destination.name,
                request.method,
                request.url.path.removeprefix("/fhir/"),
                request.headers.get("idempotency-key", ""),
                loads(request.content),
            )
            told = self.script(seen) if self.script else None
            if told is None or told.is_success:
                self.arrived.append(seen)
            return told or httpx.Response(201, content=request.content)

        return httpx.MockTransport(answer)


@cache
def loaded(settings: tuple[tuple[str, str], ...] = ()) -> Project:
    """Return the project of this repository, loaded once for every test that asks alike."""
    return load(REPOSITORY / "config.yaml", environment("sqlite:///unused.db", **dict(settings)))


@contextmanager
def town(folder: Path, **settings: str) -> Iterator[Town]:
    """Build a town with its store in `folder`; `settings` overrides the environment."""
    project = loaded(tuple(sorted(settings.items())))
    clock = ManualClock()
    store = Store.open(empty_record(folder / "carelane.db"), clock=clock)
    try:
        yield Town(project, store, clock)
    finally:
        store.close()


@contextmanager
def town_after(folder: Path, *samples: str) -> Iterator[Town]:
    """Build a town in which these samples of mercy's arrived and went on.

    They are played once; each town begins with a copy of the record as it was then.
    """
    (folder / "carelane.db").write_bytes(_played(samples))
    with town(folder) as built:
        yield built


@cache
def _played(samples: tuple[str, ...]) -> bytes:
    with TemporaryDirectory() as folder:
        with town(Path(folder)) as built:
            for name in samples:
                assert built.send("mercy", "POST", "/fhir", sample(name)).status_code == 200
            built.deliver()
        return (Path(folder) / "carelane.db").read_bytes()
