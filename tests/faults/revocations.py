"""Revoke consents at random times while the engine sends, and check that nothing leaves after.

`python tests/faults/revocations.py --trials 1000` is the long run (`make revocations`): the real
server process and a second worker process on one record, destinations that are slow and fail. In
each trial a member's Communications and the revocation of that member's Consent race each other.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from sinks import Arrival, Sink

from engine import ledger
from engine.cli.ledger_text import trace_lines
from engine.samples.running import free_port
from engine.store import DeliveryRow, Store, Transaction
from engine.transform.crosswalk import Key

REPOSITORY = Path(__file__).resolve().parent.parent.parent
TOKEN = "mercy-of-the-trials"
NPI = "http://hl7.org/fhir/sid/us-npi"
ORGANIZATIONS = {"mercy": "1942260013", "hub": "1888001124", "clinic": "1999999992"}
WEIGHTS = {
    "ok": 30,
    "created": 10,
    "slow": 20,
    "error": 12,
    "unavailable": 10,
    "too-many": 6,
    "close": 6,
    "half": 5,
    "silent": 1,
}
"""How often a destination does what, out of a hundred: it fails four times in ten."""
LATEST = 0.5
"""Seconds after the first Communication within which the revocation is sent."""
REVOKED = frozenset({"consent-revoked"})
PREFACE = """# Revocations at random times
Written by `make revocations`. The real server process and a second worker process share one
record; destinations fail four times in ten and answer late two times in ten. In each trial one to
three Communications of a member, each to two destinations, race the revocation of that member's
Consent. The ledger's chain, not a clock, tells which decision came before the revocation.

```
{}
```
"""


class SlowSink(Sink):
    """Serve one destination that is slow and fails, whatever it is sent."""

    def _choose(self, body: dict[str, str]) -> str:
        return self._chance.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]


@dataclass(slots=True)
class Trial:
    """Hold one race: which messages were sent about a member, and the one that revoked."""

    number: int
    messages: list[tuple[str, int]] = field(default_factory=list)
    revocation: str = ""
    acknowledged: float = 0.0


@dataclass(slots=True)
class Report:
    """Hold what all trials gave; a breach is a Communication that should not have left."""

    trials: int = 0
    seconds: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    breaches: list[str] = field(default_factory=list)

    def text(self) -> str:
        """Render for people."""
        lines = [
            f"{self.trials} revocations at random times in {self.seconds:.0f} s",
            *(f"{count:>6}  {name}" for name, count in sorted(self.outcomes.items())),
            f"{len(self.breaches):>6}  Communications sent by a decision after the revocation, "
            "or not explained by the ledger",
        ]
        return "\n".join([*lines, *(f"  {breach}" for breach in self.breaches[:50])])


@dataclass
class Trials:
    """Run trials against real processes on a record in `folder`."""

    folder: Path
    count: int
    seed: int = 1
    at_once: int = 16
    report: Report = field(default_factory=Report)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self._journal: list[Arrival] = []
        self._sinks = [
            SlowSink(name, self._chance.getrandbits(32), self._journal)
            for name in ("hub", "clinic")
        ]
        self._processes: list[asyncio.subprocess.Process] = []
        self._url = f"http://127.0.0.1:{free_port()}"

    @property
    def store(self) -> str:
        """Return the address of the record."""
        return f"sqlite:///{self.folder / 'record.db'}"

    async def run(self) -> Report:
        """Run every trial, let what is left come to rest, and check what the record says."""
        for sink in self._sinks:
            await sink.start()
        config = self.folder / "config.yaml"
        config.write_text(self._config(), "utf-8")
        try:
            await self._start(
                "serve",
                "--config",
                str(config),
                "--port",
                self._url.rpartition(":")[2],
                "--processes",
                "1",
            )
            async with self._client() as client:
                await self._up(client)
                await self._start("worker", "--config", str(config))
                await self._prepare(client)
                started = time.monotonic()
                trials = await self._race(client)
                self.report.seconds = time.monotonic() - started
            await self._rest()
        finally:
            await self._stop()
            for sink in self._sinks:
                sink.close()
        with Store.open(self.store) as store:
            Check(self.report, trials, self._journal).all(store)
        return self.report

    def _config(self) -> str:
        digest = hashlib.sha256(TOKEN.encode()).hexdigest()
        urls = {"mercy": "http://127.0.0.1:9/fhir", **{s.name: s.url for s in self._sinks}}
        systems = {
            name: {
                "role": "provider",
                "dialect": "hrex" if name == "hub" else "us-core",
                "base_url": url,
                "organization": {"value": ORGANIZATIONS[name]},
                "identifiers": [f"http://{name}.example/mrn"],
                "concurrency": 8,
                "timeout": 1,
            }
            for name, url in urls.items()
        }
        systems["mercy"]["token_sha256"] = "${TRIAL_TOKEN_SHA256}"
        os.environ["TRIAL_TOKEN_SHA256"] = digest
        route = {"from": "mercy", "to": ["hub", "clinic"], "types": ["Communication"]}
        return json.dumps(
            {
                "store": self.store,
                "mappings": str(REPOSITORY / "mappings"),
                "profiles": [str(REPOSITORY / "profiles")],
                "systems": systems,
                "routes": [{**route, "purpose": ["COC"]}],
                "unrouted": "record",
                "retry": {"attempts": 100, "first": 0.05, "cap": 0.4, "patience": 1},
            }
        )

    async def _start(self, *command: str) -> None:
        self._processes.append(
            await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "engine",
                *command,
                cwd=REPOSITORY,
                stderr=(self.folder / f"{command[0]}.log").open("ab"),
            )
        )

    async def _stop(self) -> None:
        for process in self._processes:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.send_signal(signal.SIGTERM)
        for process in self._processes:
            await process.wait()

    def _client(self) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        limits = httpx.Limits(max_connections=2 * self.at_once)
        return httpx.AsyncClient(base_url=self._url, headers=headers, timeout=60, limits=limits)

    async def _up(self, client: httpx.AsyncClient) -> None:
        for _ in range(300):
            with suppress(httpx.TransportError):
                told = await client.get("/readyz")
                if told.status_code == 200 and told.json()["deliveries"] == "running":
                    return
            if self._processes[0].returncode is not None:
                break
            await asyncio.sleep(0.1)
        raise TimeoutError(f"the server did not come up: {self._said('serve')}")

    def _said(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text("utf-8")[-2000:]

    async def _prepare(self, client: httpx.AsyncClient) -> None:
        """Send who is who, and a signed Consent of every member."""
        await self._send(client, "/fhir", _transaction([_organization(n) for n in ORGANIZATIONS]))
        for first in range(0, self.count, 50):
            numbers = range(first, min(first + 50, self.count))
            people = [_patient(n) for n in numbers]
            await self._send(client, "/fhir", _transaction([*people, *map(_consent, numbers)]))

    async def _send(self, client: httpx.AsyncClient, path: str, body: Any) -> httpx.Response:
        response = await client.post(path, json=body)
        assert response.status_code in (200, 201, 403), response.text
        return response

    async def _race(self, client: httpx.AsyncClient) -> list[Trial]:
        gate = asyncio.Semaphore(self.at_once)

        async def one(number: int) -> Trial:
            async with gate:
                return await self._trial(client, number)

        self.report.trials = self.count
        return list(await asyncio.gather(*map(one, range(self.count))))

    async def _trial(self, client: httpx.AsyncClient, number: int) -> Trial:
        """Let one to three Communications and the revocation race."""
        trial = Trial(number)

        async def outreach(nth: int, wait: float) -> None:
            await asyncio.sleep(wait)
            response = await self._send(client, "/fhir/Communication", _outreach(number, nth))
            trial.messages.append((response.headers["x-message-id"], response.status_code))

        async def revoke(wait: float) -> None:
            await asyncio.sleep(wait)
            response = await client.put(
                f"/fhir/Consent/c{number}", json=_consent(number, status="inactive")
            )
            assert response.status_code == 201, response.text
            trial.revocation = response.headers["x-message-id"]

        waits = [0.0] + [self._chance.uniform(0, LATEST) for _ in range(self._chance.randrange(3))]
        outreaches = (outreach(nth, wait) for nth, wait in enumerate(waits))
        await asyncio.gather(*outreaches, revoke(self._chance.uniform(0, LATEST)))
        return trial

    async def _rest(self) -> None:
        """Wait until nothing is on its way."""
        with Store.open(self.store) as store:
            for _ in range(1200):
                depths = store.read(lambda tx: tx.deliveries.depth())
                if not any(depth.state in ("waiting", "leased") for depth in depths):
                    return
                await asyncio.sleep(0.1)
        raise TimeoutError("deliveries did not come to rest")


@dataclass
class Check:
    """Hold the trials against the record and against what arrived."""

    report: Report
    trials: Sequence[Trial]
    journal: Sequence[Arrival]

    def all(self, store: Store) -> None:
        """Add every outcome and breach to the report."""
        arrivals = Counter(arrival.delivery for arrival in self.journal)
        self.report.outcomes["requests that reached a destination"] = len(self.journal)
        for trial in self.trials:
            store.read(lambda tx, trial=trial: self._trial(tx, trial, arrivals))
        self.report.breaches += [str(one) for one in store.read(lambda tx: tx.audit.verify())]

    def _trial(self, tx: Transaction, trial: Trial, arrivals: Counter[str]) -> None:
        key = Key("mercy", "reference", f"Consent/c{trial.number}")
        consent = f"Consent/{tx.crosswalk.resolve([key])[key]}"
        revoked = next(
            record.sequence
            for record in tx.audit.of_message(trial.revocation)
            if record.kind == "unit.accepted"
        )
        for message, status in trial.messages:
            story = ledger.trace(tx, message)
            assert story is not None
            said = "\n".join(trace_lines(story))
            if status == 403:
                self._refused(story, said, revoked)
            for unit in story.units:
                for one in unit.deliveries:
                    after = arrivals[one.delivery.id]
                    for breach in self._delivery(story, one, revoked, consent, said, after):
                        self.report.breaches.append(f"trial {trial.number}: {breach}")

    def _refused(self, story: ledger.Trace, said: str, revoked: int) -> None:
        self.report.outcomes["refused at acceptance, after the revocation"] += 1
        if story.records[0].sequence < revoked or "consent-revoked" not in said:
            self.report.breaches.append(f"{story.message.id} was refused for no reason on record")

    def _delivery(
        self,
        story: ledger.Trace,
        trace: ledger.DeliveryTrace,
        revoked: int,
        consent: str,
        said: str,
        arrived: int,
    ) -> Iterator[str]:
        """Yield what is wrong with one delivery.

        Each claim (`delivery.leased`) and the decision taken with it are one transaction, and the
        ledger's chain orders claims and the revocation beyond any clock.
        """
        row = trace.delivery
        claims = [
            record.sequence
            for record in story.records
            if record.delivery_id == row.id and record.kind == "delivery.leased"
        ]
        if len(claims) != len(trace.decisions):
            yield f"{row.id} was claimed {len(claims)} times, decided {len(trace.decisions)} times"
        before = 0
        for claim, decision in zip(claims, trace.decisions, strict=False):
            if claim > revoked and decision.decision == "permit":
                yield f"{row.id} was permitted after the revocation"
            if claim < revoked:
                before += 1
                if decision.body["basis"][0]["consent"] != f"{consent}/_history/1":
                    yield f"{row.id} was permitted by another version"
        if arrived > before:
            yield f"{row.id} arrived {arrived} times, was permitted {before} times"
        self._count(row, before, arrived)
        yield from _unexplained(row, trace, said, consent)

    def _count(self, row: DeliveryRow, before: int, arrived: int) -> None:
        if row.state == "delivered":
            name = "delivered, every attempt permitted before the revocation"
        elif before:
            name = f"withheld after failed attempts ({'some' if arrived else 'none'} arrived)"
        else:
            name = "withheld before any attempt"
        self.report.outcomes[name] += 1


def _unexplained(
    row: DeliveryRow, trace: ledger.DeliveryTrace, said: str, consent: str
) -> Iterator[str]:
    """Yield where the record does not say why a delivery rests as it does."""
    last = trace.decisions[-1] if trace.decisions else None
    if row.state == "delivered":
        if f"{consent}/_history/1" not in said or last is None or last.decision != "permit":
            yield f"{row.id} was delivered and the ledger does not say on which consent"
    elif row.state == "held":
        explained = row.reason == "consent-withdrawn" and "consent-withdrawn" in said
        if not explained or last is None or last.code not in REVOKED:
            yield f"{row.id} is held and the ledger does not say why"
        elif f"{consent}/_history/2" not in said:
            yield f"{row.id} is held and the ledger does not name the revocation"
    else:
        yield f"{row.id} is {row.state} ({row.reason})"


def _transaction(resources: Sequence[dict[str, Any]]) -> dict[str, Any]:
    entries = [
        {
            "resource": one,
            "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"},
        }
        for one in resources
    ]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def _organization(name: str) -> dict[str, Any]:
    return {
        "resourceType": "Organization",
        "id": name,
        "active": True,
        "identifier": [{"system": NPI, "value": ORGANIZATIONS[name]}],
        "name": name,
    }


def _patient(number: int) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "id": f"m{number}",
        "identifier": [{"system": "http://mercy.example/mrn", "value": f"M{number}"}],
        "name": [{"family": "Trial", "given": [str(number)]}],
        "gender": "unknown",
    }


def _consent(number: int, status: str = "active") -> dict[str, Any]:
    scope = {"system": "http://terminology.hl7.org/CodeSystem/consentscope"}
    role = {"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "IRCP"}
    actors = [
        {"role": {"coding": [role]}, "reference": {"reference": f"Organization/{name}"}}
        for name in ("hub", "clinic")
    ]
    return {
        "resourceType": "Consent",
        "id": f"c{number}",
        "status": status,
        "scope": {"coding": [{**scope, "code": "patient-privacy"}]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "64292-6"}]}],
        "patient": {"reference": f"Patient/m{number}"},
        "performer": [{"reference": f"Patient/m{number}"}],
        "dateTime": "2025-01-01",
        "sourceAttachment": {"title": "Signed release", "url": "http://mercy.example/roi.pdf"},
        "policy": [{"uri": "http://example.org/release-of-information"}],
        "provision": {"type": "permit", "actor": actors},
    }


def _outreach(number: int, nth: int) -> dict[str, Any]:
    return {
        "resourceType": "Communication",
        "id": f"o{number}-{nth}",
        "status": "completed",
        "subject": {"reference": f"Patient/m{number}"},
        "sent": "2025-06-01T10:00:00Z",
        "sender": {"reference": "Organization/mercy"},
        "recipient": [{"reference": "Organization/hub"}, {"reference": "Organization/clinic"}],
        "payload": [{"contentString": "The plan of care is ready."}],
    }


def main() -> None:
    """Run trials from the command line; exit 1 where something left that should not have."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--report", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = asyncio.run(Trials(Path(folder), given.trials, given.seed).run())
    print(report.text())
    if given.report:
        given.report.write_text(PREFACE.format(report.text()), "utf-8")
    sys.exit(1 if report.breaches else 0)


if __name__ == "__main__":
    main()
