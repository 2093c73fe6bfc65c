"""A town with every medium: real files, a real mail server, and people who may be told."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import trustme
import yaml
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import Envelope, Session
from empty_record import empty_record
from town import REPOSITORY, Town, environment

from engine.config import load_config
from engine.coordination.handlers import handlers
from engine.fhir.json import loads
from engine.outreach.recipients import PARTICIPATION_MODE, PREFERRED_MEDIUM
from engine.project import Project, load
from engine.samples.bundles import sample
from engine.sending import Sending, make_worker
from engine.store import Store
from engine.testing import ManualClock
from engine.timers import TimerRunner

OWNER = {"name": "Robin Vale", "system": "http://prairie.example/staff", "value": "RV-1"}
ADDRESSES = {
    "fax": [{"system": "fax", "value": "+1 515 555 0199"}],
    "mail": [{"system": "email", "value": "dana@home.example"}],
    "phone": [{"system": "phone", "value": "+1 515 555 0117"}],
    "meeting": [{"system": "phone", "value": "+1 515 555 0117"}],
}
FAX, MAIL, PHONE = ADDRESSES["fax"], ADDRESSES["mail"], ADDRESSES["phone"]
DANA, LAKESIDE, PRAIRIE = (
    "RelatedPerson/dana",
    "Organization/org-lakeside",
    "Organization/org-prairie",
)


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
    return port


@dataclass
class Mailbox:
    """A real SMTP server that wants STARTTLS and keeps what it gets; `answer` may refuse."""

    folder: Path
    answer: str | None = None
    offers_tls: bool = True
    got: list[Envelope] = field(default_factory=list)
    hosts: list[bool] = field(default_factory=list)

    async def handle_DATA(self, _server: Any, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.answer is not None:
            return self.answer
        self.hosts.append(session.ssl is not None)
        self.got.append(envelope)
        return "250 kept"

    @contextmanager
    def open(self) -> Iterator[int]:
        """Serve on a free port of loopback; its authority is at `folder/ca.pem`."""
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self.folder / "ca.pem"))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
        tls = {"tls_context": context, "require_starttls": True} if self.offers_tls else {}
        port = free_port()
        controller = Controller(self, hostname="127.0.0.1", port=port, **tls)
        controller.start()
        try:
            yield port
        finally:
            controller.stop()


def settings(folder: Path, mail_port: int = 1, **media: Any) -> dict[str, Any]:
    """Return config.yaml with every medium; `media` replaces some (None takes one away)."""
    config = yaml.safe_load((REPOSITORY / "config.yaml").read_text())
    every: dict[str, Any] = {
        "fax": {"folder": "faxes", "number": "515 555 0100"},
        "mail": {
            "host": "127.0.0.1",
            "port": mail_port,
            "from": "care@mercy.example",
            "timeout": 5,
        },
        "phone": {"owner": OWNER},
        "meeting": {"owner": OWNER, "organizer": "care@mercy.example", "place": "Room 2"},
    }
    if (folder / "ca.pem").exists():
        every["mail"]["authority"] = "ca.pem"
    every |= media
    every = {name: one for name, one in every.items() if one is not None}
    config |= {"mappings": str(REPOSITORY / "mappings"), "profiles": str(REPOSITORY / "profiles")}
    config["unrouted"] = "record"
    for route in config["routes"]:  # Tasks of outreach stay on record here
        route["types"].remove("Task")
    config["retry"] = {"attempts": 2, "first": 1, "jitter": 0}
    config["coordination"] = {"acting": "mercy", "media": every}
    return config


@dataclass
class Place(Town):
    """A town whose timers go off and whose media are real."""

    folder: Path = Path()

    def go(self, rounds: int = 4) -> None:
        """Let timers go off and deliveries go out until nothing is due."""
        runner = TimerRunner(self.store, self.clock, handlers(lambda: self.project))
        for _ in range(rounds):
            runner.turn()
            self.deliver(400)
            runner.turn()
            if not self._due():
                break

    def retry(self) -> None:
        """Let so much time pass that every retry is due, and go on."""
        for _ in range(3):
            self.clock.advance(600)
            self.go()

    def deliver_for_real(self, seconds: float = 5.0) -> None:
        """Deliver over real connections, also to the fax gateway."""
        asyncio.run(self._deliver_for_real(seconds))

    async def _deliver_for_real(self, seconds: float) -> None:
        worker = make_worker(Sending(self.project), self.store, self.clock)
        task = asyncio.create_task(worker.run())
        for _ in range(int(seconds * 50)):
            await asyncio.sleep(0.02)
            if not self._due():
                break
        worker.stop()
        await task

    def timers(self) -> None:
        """Let timers go off, and deliver nothing."""
        TimerRunner(self.store, self.clock, handlers(lambda: self.project)).turn()

    def by_medium(self, state: str | None = None) -> list[tuple[str, str]]:
        """Return medium and state of every delivery of outreach, oldest first."""
        rows = self.store.read(lambda tx: tx.deliveries.search(state=state))
        return [
            (row.envelope["outreach"]["medium"], row.state)
            for row in reversed(rows)
            if "outreach" in row.envelope
        ]

    def audit(self, kind: str) -> list[dict[str, Any]]:
        """Return the bodies of the ledger's records of one kind."""
        records = self.store.read(lambda tx: list(tx.audit.records()))
        return [json.loads(one.body) for one in records if one.kind == kind]

    def current(self, kind: str) -> list[dict[str, Any]]:
        """Return the current resources of a type."""
        rows = self.store.read(lambda tx: tx.resources.of_type(kind))
        return [loads(row.body) for row in rows]

    def faxes(self) -> list[Path]:
        """Return the documents in the folder that the gateway watches."""
        folder = self.folder / "faxes"
        return sorted(folder.glob("*.pdf")) if folder.exists() else []

    def left(self) -> int:
        """Return how many documents, mails, tasks and requests went out at all."""
        return len(self.faxes()) + len(self.current("Task")) + len(self.told())

    def told(self) -> list[Any]:
        """Return the Communications that reached a system."""
        return [one for one in self.arrived if one.resource["resourceType"] == "Communication"]


@contextmanager
def outreach_town(folder: Path, config: Mapping[str, Any] | None = None) -> Iterator[Place]:
    """Build a town in which everybody is known."""
    given = dict(config or settings(folder))
    (folder / "config.yaml").write_text(json.dumps(given))
    url = empty_record(folder / "carelane.db")
    clock = ManualClock()
    store = Store.open(url, clock=clock)
    try:
        yield Place(_project(folder, given, environment(url)), store, clock, folder=folder)
    finally:
        store.close()


def _project(folder: Path, given: Mapping[str, Any], environ: Mapping[str, str]) -> Project:
    """Load the project of a town; what does not depend on its media is loaded once for all."""
    read, problems = load_config(folder / "config.yaml", environ)
    assert read is not None, problems
    coordination = {name: one for name, one in given["coordination"].items() if name != "media"}
    known = _without_media(json.dumps({**given, "coordination": coordination}))
    return replace(known, config=read).digested(json.dumps(given))


@cache
def _without_media(text: str) -> Project:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        path.write_text(text)
        return load(path, environment("sqlite:///unused.db"))


def introduce(place: Place, telecom: Mapping[str, list[dict[str, Any]]], **more: Any) -> None:
    """Let the hospital say who is who; `telecom` by id, `more` further elements by id."""
    bundle = json.loads(sample("01-who-is-who"))
    bundle["identifier"] = {"system": "urn:test", "value": json.dumps([telecom, more])}
    for entry in bundle["entry"]:
        resource = entry["resource"]
        if resource["id"] in ("dana", "avery", "org-lakeside", "novak", "ortega-mercy"):
            resource.pop("telecom", None)
        if resource["id"] in telecom:
            resource["telecom"] = telecom[resource["id"]]
        resource |= more.get(resource["id"].replace("-", "_"), {})
    response = place.post("mercy", bundle)
    assert response.status_code == 200, response.text


def consent(
    place: Place,
    *organizations: str,
    status: str = "active",
    policy: str = "regular",
    **provision: Any,
) -> None:
    """Let the guardian's signed consent cover these recipients (hub and Lakeside without any)."""
    bundle = json.loads(sample("04-signed-consent"))
    resource = bundle["entry"][0]["resource"]
    resource["status"] = status
    resource["policy"][0]["uri"] = resource["policy"][0]["uri"].replace("regular", policy)
    bundle["identifier"]["value"] += status + "".join(organizations)
    actors = resource["provision"]["actor"]
    for name in organizations or ("org-lakeside",):
        one = deepcopy(actors[1])
        one["reference"] = {"reference": name if "/" in name else f"Organization/{name}"}
        actors.append(one)
    resource["provision"] |= provision
    response = place.post("mercy", bundle)
    assert response.status_code == 200, response.text


def outreach(*recipients: str, id: str = "outreach-9", **more: Any) -> dict[str, Any]:
    """Return a Communication that is still to be told to these recipients."""
    resource = json.loads(sample("05-outreach"))
    resource |= {"id": id, "status": "in-progress"}
    resource["identifier"][0]["value"] = id
    for name in ("sent", "medium"):
        resource.pop(name)
    resource["recipient"] = [{"reference": one} for one in recipients]
    resource |= more
    return resource


def prefers(medium: str) -> dict[str, Any]:
    """Return what a record says of a preferred medium."""
    codes = {"fax": "FAXWRIT", "mail": "EMAILWRIT", "phone": "PHONE", "meeting": "FACE"}
    coding = {"system": PARTICIPATION_MODE, "code": codes[medium]}
    return {"extension": [{"url": PREFERRED_MEDIUM, "valueCodeableConcept": {"coding": [coding]}}]}


def ready_for(place: Place, medium: str) -> str:
    """Let the world be such that `medium` is the one to choose; return the recipient."""
    if medium == "fhir":
        introduce(place, {})
        return PRAIRIE
    introduce(place, {"dana": ADDRESSES[medium]}, dana=prefers(medium))
    return DANA


def went_out(place: Place, mailbox: Mailbox) -> dict[str, int]:
    """Count what went out by each medium."""
    codes = [task["code"]["coding"][0]["code"] for task in place.current("Task")]
    return {
        "fhir": len(place.told()),
        "fax": len(place.faxes()),
        "mail": len(mailbox.got),
        "phone": codes.count("call"),
        "meeting": codes.count("meeting"),
    }


def communication(place: Place) -> dict[str, Any]:
    """Return the only Communication as it stands."""
    (found,) = place.current("Communication")
    return found


def codes_of(resource: dict[str, Any]) -> list[str]:
    """Return the codes of the media that a Communication names."""
    return [one["coding"][0]["code"] for one in resource.get("medium", [])]
