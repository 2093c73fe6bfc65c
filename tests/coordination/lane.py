"""A valley whose systems subscribe: their endpoints take notes, headers and all."""

from __future__ import annotations

import copy
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import httpx
from empty_record import empty_record
from town import TOKENS
from valley import SYSTEMS, Valley
from valley import project as valley_project

from engine.deliver.destination import Destination
from engine.fhir.json import loads
from engine.project import Project, load
from engine.store import Store
from engine.subscriptions.asked import CONTENT, FILTER, HEARTBEAT, MAX_COUNT, TIMEOUT
from engine.subscriptions.following import Following
from engine.subscriptions.topics import HREX_TASK
from engine.testing import ManualClock

SECRET = "Bearer dont-tell-anybody"


def project(**of_systems: Mapping[str, Any]) -> Project:
    """Return the valley's project; each system takes notifications at https://NAME.example/hooks.

    `of_systems` gives further settings of single systems.
    """
    return _loaded(json.dumps(of_systems, sort_keys=True))


@cache
def _loaded(of_systems: str) -> Project:
    """Load the project once for every test that asks alike."""
    with tempfile.TemporaryDirectory() as folder:
        return _load(Path(folder), json.loads(of_systems))


def _load(folder: Path, of_systems: Mapping[str, Mapping[str, Any]]) -> Project:
    before = valley_project(folder)
    text = (folder / "config.yaml").read_text()
    for name in SYSTEMS:
        told = {"hooks": f"https://{name}.example/hooks", **of_systems.get(name, {})}
        lines = "".join(f"    {key}: {value}\n" for key, value in told.items())
        mark = f"    base_url: http://{name}.example/fhir\n"
        text = text.replace(mark, mark + lines)
    server = "server: {address: https://engine.example/fhir}\n"
    text = text.replace("coordination:\n", f"{server}coordination:\n")
    (folder / "config.yaml").write_text(text)
    digests = {
        f"{name.upper()}_SHA256": str(before.config.systems[name].token_sha256) for name in SYSTEMS
    }
    return load(folder / "config.yaml", digests)


@dataclass
class Call:
    """One notification that reached an endpoint."""

    destination: str
    url: str
    headers: Mapping[str, str]
    bundle: dict[str, Any]

    @property
    def status(self) -> dict[str, Any]:
        """Return the single values of its status by name."""
        return values(self.bundle["entry"][0]["resource"])

    @property
    def numbers(self) -> list[str]:
        """Return the numbers of the events that it tells of."""
        return [event["event-number"] for event in happened(self.bundle)]


def values(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a Parameters by name."""
    return {
        one["name"]: next((one[key] for key in one if key.startswith("value")), None)
        for one in parameters["parameter"]
    }


def happened(bundle: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the events of a notification, each by the names of its parts."""
    return [
        values({"parameter": one["part"]})
        for one in bundle["entry"][0]["resource"]["parameter"]
        if one["name"] == "notification-event"
    ]


def codes(response: Any) -> list[str]:
    """Return the codes of an OperationOutcome."""
    outcome = response.json()
    assert outcome["resourceType"] == "OperationOutcome"
    return [issue["details"]["coding"][0]["code"] for issue in outcome["issue"]]


Endpoint = Callable[[Call], int | None]
_PLAYED: dict[int, tuple[bytes, dict[str, Any]]] = {}


@dataclass
class Lane(Valley):
    """The valley, with endpoints: `endpoint` answers with a status instead of 200."""

    calls: list[Call] = field(default_factory=list)
    endpoint: Endpoint | None = None
    file: Path = Path()

    def _connect(self, destination: Destination) -> httpx.AsyncBaseTransport:
        if not destination.name.startswith("notify:"):
            return super()._connect(destination)

        def answer(request: httpx.Request) -> httpx.Response:
            call = Call(destination.name, str(request.url), request.headers, loads(request.content))
            status = self.endpoint(call) if self.endpoint else None
            if status == 0:
                raise httpx.ConnectError("refused", request=request)
            if status is None or status < 300:
                self.calls.append(call)
            return httpx.Response(status or 200)

        return httpx.MockTransport(answer)

    def subscribe(self, system: str, resource: Mapping[str, Any] | None = None) -> str:
        """Subscribe as a system; return the id. The handshake is not delivered yet."""
        response = self.post(system, resource or subscription(system))
        assert response.status_code == 201, response.text
        return str(response.json()["id"])

    def active(self, system: str, resource: Mapping[str, Any] | None = None) -> str:
        """Subscribe as a system and shake hands; return the id."""
        id = self.subscribe(system, resource)
        self.deliver()
        assert self.state(system, id) == "active"
        self.calls.clear()
        return id

    def state(self, system: str, id: str) -> str:
        """Return the state of a subscription as its system sees it."""
        return str(self.send(system, "GET", f"/fhir/Subscription/{id}").json()["status"])

    def follow(self) -> int:
        """Let the ledger be read on; return how many events there were."""
        self.timers()
        return Following(lambda: self.project, self.store).turn()

    def notified(self) -> list[Call]:
        """Let events be found and delivered; return the notifications that arrived."""
        before = len(self.calls)
        self.follow()
        self.deliver(100)
        return self.calls[before:]

    def asked_for_records(self) -> dict[str, Any]:
        """Let the plan ask the hospital for records; return the Task as the hospital has it.

        What leads to it is played once; later tests begin with a copy of the record as it was.
        """
        known = _PLAYED.get(id(self.project))
        if known is None:
            task = self._asked_for_records()
            self.store.close()
            _PLAYED[id(self.project)] = (self.file.read_bytes(), copy.deepcopy(task))
            self._open()
            return task
        self.store.close()
        self.file.write_bytes(known[0])
        self._open()
        return copy.deepcopy(known[1])

    def _asked_for_records(self) -> dict[str, Any]:
        self.settle()
        self.permit("hub", "mercy", "lakeside", "clinic")
        self.ask_for_records()
        self.deliver(100)
        return next(one.resource for one in self.arrived if one.system == "mercy")

    def restart(self) -> None:
        """Stop the engine and start it again on the same record."""
        self.store.close()
        self._open()

    def _open(self) -> None:
        self.store = Store.open(f"sqlite:///{self.file}", clock=self.clock)
        self.__post_init__()

    def moves(self, task: Mapping[str, Any], status: str, system: str = "mercy") -> None:
        """Let the hospital say where a request stands."""
        body = {**task, "status": status}
        response = self.send(system, "PUT", f"/fhir/Task/{task['id']}", body)
        assert response.status_code in (200, 201), response.text


@contextmanager
def lane(folder: Path, **of_systems: Mapping[str, Any]) -> Iterator[Lane]:
    """Build the lane with its store in `folder`."""
    clock, file = ManualClock(), folder / "carelane.db"
    store = Store.open(empty_record(file), clock=clock)
    built = Lane(project(**of_systems), store, clock, file=file)
    try:
        yield built
    finally:
        built.store.close()


def subscription(system: str, **changes: Any) -> dict[str, Any]:
    """Return a Subscription to Task updates, as a system would post it.

    `content`, `filters`, `heartbeat`, `timeout`, `header` and `endpoint` say what of the channel
    differs; everything else replaces elements.
    """
    content = changes.pop("content", "id-only")
    filters = changes.pop("filters", [])
    extension = [{"url": MAX_COUNT, "valuePositiveInt": 5}]
    if (heartbeat := changes.pop("heartbeat", None)) is not None:
        extension.append({"url": HEARTBEAT, "valueUnsignedInt": heartbeat})
    if (timeout := changes.pop("timeout", None)) is not None:
        extension.append({"url": TIMEOUT, "valueUnsignedInt": timeout})
    channel = {
        "extension": extension,
        "type": "rest-hook",
        "endpoint": changes.pop("endpoint", f"https://{system}.example/hooks/tasks"),
        "payload": "application/fhir+json",
        "_payload": {"extension": [{"url": CONTENT, "valueCode": content}]},
        "header": changes.pop("header", [f"Authorization: {SECRET}"]),
    }
    resource: dict[str, Any] = {
        "resourceType": "Subscription",
        "status": "requested",
        "reason": "Follow what becomes of requests",
        "criteria": HREX_TASK,
        "channel": channel,
        **changes,
    }
    if filters:
        extensions = [{"url": FILTER, "valueString": one} for one in filters]
        resource["_criteria"] = {"extension": extensions}
    return resource


__all__ = [
    "SECRET",
    "TOKENS",
    "Call",
    "Lane",
    "codes",
    "happened",
    "lane",
    "project",
    "subscription",
]
