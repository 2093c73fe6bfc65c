"""Two engines over real HTTP: the plan's asks the hospital's, and is told by subscription."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from town import REPOSITORY
from valley import NUMBERS, consent, introduction

from engine.cli.serving import served
from engine.coordination.records import Asking, all_requests, ask
from engine.coordination.records_providers import providers
from engine.coordination.records_tasks import Wanted
from engine.deliver.worker import Settings
from engine.project import Project, load
from engine.samples.running import free_port, running
from engine.store import Store
from engine.transform.crosswalk import Key

PATIENCE = 60.0
CONFIG = """
systems:
{systems}
routes:
{routes}
unrouted: record
server: {{address: {address}/fhir}}
{more}
mappings: {mappings}
profiles: [{profiles}]
"""
SYSTEM = """
  {name}:
    role: {role}
    dialect: us-core
    base_url: {url}/fhir
    organization: {{value: "{number}"}}
    token_sha256: ${{{upper}_SHA256}}
    bearer: ${{{upper}_BEARER}}
    {more}
"""


@dataclass
class Engine:
    """A whole engine as `carelane serve` runs it, on a port of this machine."""

    url: str
    project: Project
    store: Store

    def send(self, token: str, method: str, path: str, body: Any = None) -> httpx.Response:
        """Send one request as the system with this token."""
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/fhir+json"}
        with httpx.Client(trust_env=False, timeout=20) as client:
            return client.request(method, f"{self.url}{path}", json=body, headers=headers)


@dataclass
class Ehr:
    """The hospital's own system behind its engine: it takes Tasks and keeps them."""

    tasks: list[dict[str, Any]] = field(default_factory=list)

    def app(self) -> Starlette:
        async def take(request: Request) -> JSONResponse:
            resource = await request.json()
            if resource["resourceType"] == "Task":
                self.tasks.append(resource)
            return JSONResponse(resource, 201)

        return Starlette(routes=[Route("/{path:path}", take, methods=["PUT", "POST"])])


def project(
    folder: Path, address: str, systems: dict[str, dict[str, str]], routes: str, more: str = ""
) -> Project:
    """Load a project of these systems."""
    folder.mkdir()
    environment = {}
    for name, told in systems.items():
        environment[f"{name.upper()}_SHA256"] = hashlib.sha256(told["token"].encode()).hexdigest()
        environment[f"{name.upper()}_BEARER"] = told["bearer"]
    text = CONFIG.format(
        systems="".join(SYSTEM.format(name=name, upper=name.upper(), **told)
                        for name, told in systems.items()),
        routes=routes,
        address=address,
        more=more,
        mappings=REPOSITORY / "mappings",
        profiles=REPOSITORY / "profiles",
    )  # fmt: skip
    (folder / "config.yaml").write_text(text)
    return load(folder / "config.yaml", environment)


@contextmanager
def serving(project: Project, folder: Path, port: int) -> Iterator[Engine]:
    """Serve one engine with deliveries, timers and notifications, as the command does."""
    store = Store.open(f"sqlite:///{folder / 'carelane.db'}")
    app = served(project, store, settings=Settings(name=folder.name, grace=1.0))
    config = uvicorn.Config(app, "127.0.0.1", port, log_level="critical", lifespan="on")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        until(lambda: server.started)
        yield Engine(f"http://127.0.0.1:{port}", project, store)
    finally:
        server.should_exit = True
        thread.join(PATIENCE)
        store.close()


def until(happens: Callable[[], Any]) -> Any:
    """Return what `happens` gives once it is anything; fail where it never is."""
    deadline, pause = time.monotonic() + PATIENCE, threading.Event()
    while time.monotonic() < deadline:
        if found := happens():
            return found
        pause.wait(0.02)
    pytest.fail("it did not happen in time")


@dataclass
class World:
    """The plan's engine, the hospital's engine, and the hospital's own system behind it."""

    plan: Engine
    hospital: Engine
    ehr: Ehr
    start: Callable[[], tuple[Engine, ExitStack]]
    running: ExitStack

    def away(self) -> None:
        """Stop the plan's engine."""
        self.running.close()

    def back(self) -> None:
        """Start the plan's engine again on its record."""
        self.plan, self.running = self.start()

    def stage(self) -> str | None:
        """Return the stage of the plan's request."""
        found = self.plan.store.read(lambda tx: list(all_requests(tx, self.plan.project)))
        return found[0].stage if found else None

    def watched(self) -> bool:
        """Tell whether the plan's engine is notified by now."""
        return bool(self.plan.store.read(lambda tx: tx.watches.active()))

    def moves(self, status: str) -> None:
        """Let the hospital's system say where the request stands."""
        task = {**self.ehr.tasks[0], "status": status}
        told = self.hospital.send("of-ehr", "PUT", f"/fhir/Task/{task['id']}", task)
        assert told.status_code in (200, 201), told.text


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Start both engines and let everybody know each other, with a release."""
    ehr, plan_port, hospital_port = Ehr(), free_port(), free_port()
    plan_url, hospital_url = (f"http://127.0.0.1:{port}" for port in (plan_port, hospital_port))
    with ExitStack() as stack:
        ehr_url = stack.enter_context(running(ehr.app()))
        at_plan = project(
            tmp_path / "plan",
            plan_url,
            {
                "hub": {"url": "http://127.0.0.1:9", "token": "of-hub", "bearer": "x",
                        "number": NUMBERS["hub"], "role": "payer", "more": ""},
                "mercy": {"url": hospital_url, "token": "of-mercy", "bearer": "of-plan",
                          "number": NUMBERS["mercy"], "role": "provider",
                          "more": "updates: subscription"},
            },
            "  - {from: hub, to: mercy, types: [Task], purpose: COC}",
            "coordination: {acting: hub, records: {poll: {every: 100000}}}",
        )  # fmt: skip
        at_hospital = project(
            tmp_path / "hospital",
            hospital_url,
            {
                "plan": {"url": plan_url, "token": "of-plan", "bearer": "of-mercy",
                         "number": NUMBERS["hub"], "role": "payer",
                         "more": f"hooks: {plan_url}/fhir"},
                "ehr": {"url": ehr_url, "token": "of-ehr", "bearer": "x",
                        "number": NUMBERS["mercy"], "role": "provider",
                        "more": "identifiers: http://mercy.example/numbers"},
            },
            "  - {from: plan, to: ehr, types: [Task], purpose: COC}",
        )  # fmt: skip

        def start() -> tuple[Engine, ExitStack]:
            own = ExitStack()
            return own.enter_context(serving(at_plan, tmp_path / "plan", plan_port)), own

        plan, own = start()
        hospital = stack.enter_context(serving(at_hospital, tmp_path / "hospital", hospital_port))
        for engine, token in ((plan, "of-mercy"), (hospital, "of-ehr"), (hospital, "of-plan")):
            told = engine.send(token, "POST", "/fhir", introduction())
            assert told.status_code == 200, told.text
            told = engine.send(token, "POST", "/fhir/Consent", consent("hub", "mercy"))
            assert told.status_code in (200, 201, 202), told.text
        made = World(plan, hospital, ehr, start, own)
        try:
            yield made
        finally:
            made.away()


def asked(plan: Engine) -> None:
    """Let the plan ask the hospital for the member's records."""
    known = plan.store.read(
        lambda tx: tx.crosswalk.resolve([Key("mercy", "reference", "Patient/avery")])
    )
    member = next(iter(known.values()))
    due = "2099-01-01T00:00:00.000000Z"
    asking = Asking(member, "hub", Wanted(due), "one")
    told = plan.store.write(
        lambda tx: ask(tx, plan.project, asking, [
            one for one in providers(tx, plan.project, member, asker="hub")
            if one.system == "mercy"
        ])
    ).result()  # fmt: skip
    assert [one.state for one in told] == ["sent"]


def test_a_request_is_followed_by_subscription_over_real_http(world: World) -> None:
    """The plan's engine subscribes at the hospital's as soon as it asked, and each step that the
    hospital takes reaches it by a notification, without any polling; so does the one that it
    took while the plan's engine was away."""
    asked(world.plan)
    until(lambda: world.ehr.tasks)
    until(world.watched)
    world.moves("accepted")
    until(lambda: world.stage() == "accepted")
    heard = world.plan.store.read(lambda tx: tx.watches.of_system("mercy"))
    assert heard is not None
    rows = world.hospital.store.read(lambda tx: tx.subscriptions.of_system("plan"))
    assert [(row.state, row.events >= 1) for row in rows] == [("active", True)]
    world.away()
    world.moves("rejected")
    tried = world.hospital.store
    until(
        lambda: any(
            row.attempts
            for row in tried.read(
                lambda tx: tx.deliveries.search(state="waiting", destination="notify:plan")
            )
        )
    )
    world.back()
    until(lambda: world.stage() == "refused")
    world.moves("completed")
    until(lambda: world.stage() == "answered")
    numbers = [
        row.envelope["number"]
        for row in world.hospital.store.read(
            lambda tx: tx.deliveries.search(destination="notify:plan")
        )
        if row.envelope["kind"] == "event-notification"
    ]
    assert sorted(numbers) == list(range(1, len(numbers) + 1))
