"""What the fault harness sends: two systems that write about the same members, and their answers.

Each member has one voice: it sends the next thing only when the last was acknowledged, and repeats
under the same Idempotency-Key until then. So the order in which things were accepted is known here.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

REPOSITORY = Path(__file__).resolve().parent.parent.parent
TOKENS = {"mercy": "mercy-of-the-faults", "hub": "hub-of-the-faults"}
NPI = "http://hl7.org/fhir/sid/us-npi"
ORGANIZATIONS = {"mercy": "1942260013", "hub": "1888001124"}
SHARED = 3
"""Practitioners that all members have in common."""
POISONS = 12
"""Members of whom the one resource is refused by its destination."""
PATIENCE = 900.0
"""Seconds in which every submission must be answered; calm servers end each run."""
AGAIN = (429, 500, 502, 503, 504)


@dataclass(frozen=True, slots=True)
class Ack:
    """Hold one acknowledged submission."""

    key: str
    message: str
    status: int
    kind: str


@dataclass
class Ledger:
    """Hold what senders know: what was acknowledged, and what was wrong about answers."""

    acks: dict[str, Ack] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    sent: int = 0
    repeated: int = 0


def environment(store: str) -> dict[str, str]:
    """Return what the project asks of the environment."""
    digests = {f"FAULTS_{n.upper()}": hashlib.sha256(t.encode()) for n, t in TOKENS.items()}
    return {"FAULTS_STORE": store, **{name: hash.hexdigest() for name, hash in digests.items()}}


def config(urls: dict[str, str]) -> dict[str, Any]:
    """Return the project: a hospital and a health plan that send to each other."""
    systems = {
        name: {
            "role": "payer" if name == "hub" else "provider",
            "dialect": "hrex" if name == "hub" else "us-core",
            "base_url": urls[name],
            "organization": {"value": ORGANIZATIONS[name]},
            "identifiers": [f"http://{name}.example/mrn"],
            "token_sha256": f"${{FAULTS_{name.upper()}}}",
            "concurrency": 8,
            "timeout": 1,
        }
        for name in urls
    }
    carried = ["Patient", "Practitioner", "CareTeam", "Consent", "Communication"]
    return {
        "store": "${FAULTS_STORE}",
        "mappings": str(REPOSITORY / "mappings"),
        "profiles": [str(REPOSITORY / "profiles")],
        "systems": systems,
        "routes": [
            {"from": "mercy", "to": ["hub"], "types": carried, "purpose": ["COC"]},
            {"from": "hub", "to": ["mercy"], "types": ["Communication"], "purpose": ["COC"]},
        ],
        "unrouted": "record",
        "retry": {"attempts": 100, "first": 0.02, "cap": 0.2, "patience": 1},
    }


class Senders:
    """Send as both systems to any of the servers, again and again until acknowledged."""

    def __init__(self, servers: Sequence[str], ledger: Ledger, seed: int) -> None:
        self.ledger = ledger
        self._servers = servers
        self._chance = random.Random(seed)
        self._client = httpx.AsyncClient(timeout=15, limits=httpx.Limits(max_connections=64))

    async def close(self) -> None:
        """Close every connection."""
        await self._client.aclose()

    async def send(self, system: str, method: str, path: str, body: Any, key: str) -> Ack:
        """Send until it is acknowledged; sometimes send it once more, as impatient senders do."""
        self.ledger.sent += 1
        ack = await self._once(system, method, path, body, key)
        self.ledger.acks[key] = ack
        if self._chance.random() < 0.05:
            self.ledger.repeated += 1
            again = await self._once(system, method, path, body, key)
            if (again.message, again.status) != (ack.message, ack.status):
                self.ledger.broken.append(f"{key} got two answers: {ack} and {again}")
        return ack

    async def _once(self, system: str, method: str, path: str, body: Any, key: str) -> Ack:
        headers = {"Authorization": f"Bearer {TOKENS[system]}", "Idempotency-Key": key}
        content = json.dumps(body).encode()
        headers["Content-Type"] = "application/fhir+json"
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            url = self._chance.choice(self._servers) + path
            try:
                answer = await self._client.request(method, url, content=content, headers=headers)
            except httpx.TransportError:
                await asyncio.sleep(0.03)
                continue
            if answer.status_code == 500:
                self.ledger.broken.append(f"{key} was answered 500")
            if answer.status_code in AGAIN:
                await asyncio.sleep(0.05)
                continue
            message = answer.headers.get("x-message-id", "")
            if not message or answer.status_code not in (200, 201, 403):
                self.ledger.broken.append(f"{key} was answered {answer.status_code}")
            return Ack(key, message, answer.status_code, body["resourceType"])
        self.ledger.broken.append(f"{key} was never answered")
        return Ack(key, "", 0, body["resourceType"])


async def prepare(senders: Senders, members: int) -> None:
    """Send who is who from both systems, and a signed Consent of every member."""
    for system in TOKENS:
        await senders.send(system, "POST", "/fhir", bundle(organizations()), f"{system}-who")
    for first in range(0, members, 20):
        numbers = range(first, min(first + 20, members))
        people = [patient("m", n) for n in numbers]
        consents = [consent(n, 0, active=True) for n in numbers]
        await senders.send("mercy", "POST", "/fhir", bundle([*people, *consents]), f"m-{first}")
        theirs = [patient("h", n) for n in numbers]
        await senders.send("hub", "POST", "/fhir", bundle(theirs), f"h-{first}")
    poisoned = [patient("x", 100_000 + n) for n in range(POISONS)]
    await senders.send("mercy", "POST", "/fhir", bundle(poisoned), "poisoned")


class Voice:
    """Speak about one member, one thing after the other."""

    def __init__(self, number: int, senders: Senders, seed: int) -> None:
        self._number = number
        self._senders = senders
        self._chance = random.Random(seed)
        self._edition = 0
        self._active = True

    async def speak(self, until: float, pace: float) -> None:
        """Speak until the monotonic clock reaches an instant."""
        while time.monotonic() < until:
            self._edition += 1
            await self._next()
            await asyncio.sleep(self._chance.uniform(0, 2 * pace))

    async def _next(self) -> None:
        number, edition, chance = self._number, self._edition, self._chance.random()
        key = f"k{number}-{edition}"
        if chance < 0.35:
            body = care_team(number, edition)
            await self._senders.send("mercy", "PUT", f"/fhir/CareTeam/t{number}", body, key)
        elif chance < 0.75:
            system = "mercy" if self._chance.random() < 0.7 else "hub"
            body = outreach(system, number, edition)
            await self._senders.send(system, "PUT", f"/fhir/Communication/{body['id']}", body, key)
        elif chance < 0.9:
            self._active = not self._active
            body = consent(number, edition, self._active)
            await self._senders.send("mercy", "PUT", f"/fhir/Consent/c{number}", body, key)
        else:
            shared = practitioner(self._chance.randrange(SHARED), number, edition)
            both = bundle([care_team(number, edition), shared])
            await self._senders.send("mercy", "POST", "/fhir", both, key)


async def poison(senders: Senders, number: int) -> None:
    """Send a resource that its destination refuses for ever."""
    team = care_team(100_000 + number, 1, "x")
    team |= {"id": f"tx{number}", "name": f"poison {team['name']}"}
    await senders.send("mercy", "PUT", f"/fhir/CareTeam/tx{number}", team, f"poison-{number}")


def bundle(resources: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return a transaction of PUTs."""
    entries = [
        {"resource": r, "request": {"method": "PUT", "url": f"{r['resourceType']}/{r['id']}"}}
        for r in resources
    ]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def organizations() -> list[dict[str, Any]]:
    """Return both systems' own organizations."""
    return [
        {
            "resourceType": "Organization",
            "id": name,
            "active": True,
            "identifier": [{"system": NPI, "value": value}],
            "name": name,
        }
        for name, value in ORGANIZATIONS.items()
    ]


def patient(prefix: str, number: int) -> dict[str, Any]:
    """Return a member as one system knows them; both know the hospital's number."""
    return {
        "resourceType": "Patient",
        "id": f"{prefix}{number}",
        "identifier": [{"system": "http://mercy.example/mrn", "value": f"A{number}"}],
        "name": [{"family": f"M{number} E0", "given": ["Trial"]}],
        "gender": "unknown",
    }


def care_team(number: int, edition: int, prefix: str = "m") -> dict[str, Any]:
    """Return an edition of a member's team."""
    about = {"reference": f"Patient/{prefix}{number}"}
    return {
        "resourceType": "CareTeam",
        "id": f"t{number}",
        "status": "active",
        "name": f"M{number} E{edition}",
        "subject": about,
        "participant": [
            {
                "role": [{"coding": [{"system": "http://snomed.info/sct", "code": "116154003"}]}],
                "member": about,
            }
        ],
    }


def practitioner(which: int, number: int, edition: int) -> dict[str, Any]:
    """Return a practitioner whom many members have, as this member's message tells them."""
    return {
        "resourceType": "Practitioner",
        "id": f"p{which}",
        "identifier": [{"system": NPI, "value": f"177777777{which}"}],
        "name": [{"family": f"M{number} E{edition}"}],
    }


def consent(number: int, edition: int, active: bool) -> dict[str, Any]:
    """Return a member's Consent, in force or revoked."""
    scope = {"system": "http://terminology.hl7.org/CodeSystem/consentscope"}
    role = {"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "IRCP"}
    actors = [
        {"role": {"coding": [role]}, "reference": {"reference": f"Organization/{name}"}}
        for name in ORGANIZATIONS
    ]
    title = f"M{number} E{edition}"
    return {
        "resourceType": "Consent",
        "id": f"c{number}",
        "status": "active" if active else "inactive",
        "scope": {"coding": [{**scope, "code": "patient-privacy"}]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "64292-6"}]}],
        "patient": {"reference": f"Patient/m{number}"},
        "performer": [{"reference": f"Patient/m{number}"}],
        "dateTime": "2025-01-01",
        "sourceAttachment": {"title": title, "url": "http://mercy.example/roi.pdf"},
        "policy": [{"uri": "http://example.org/release-of-information"}],
        "provision": {"type": "permit", "actor": actors},
    }


def outreach(system: str, number: int, edition: int) -> dict[str, Any]:
    """Return a Communication of one system to the other."""
    other = "hub" if system == "mercy" else "mercy"
    prefix = "m" if system == "mercy" else "h"
    return {
        "resourceType": "Communication",
        "id": f"o{number}-{edition}",
        "status": "completed",
        "subject": {"reference": f"Patient/{prefix}{number}"},
        "sent": "2025-06-01T10:00:00Z",
        "sender": {"reference": f"Organization/{system}"},
        "recipient": [{"reference": f"Organization/{other}"}],
        "payload": [{"contentString": f"M{number} E{edition}"}],
    }
