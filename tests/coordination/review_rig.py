"""A rig for reviews: a hospital, a clinic and a plan that coordinates, about one girl."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from empty_record import empty_record
from town import REPOSITORY, Town

from engine.coordination.handlers import foresights, handlers
from engine.fhir.json import loads
from engine.project import Project, load
from engine.store import Store
from engine.testing import ManualClock
from engine.timers import TimerRunner

SYSTEMS = ("hub", "mercy", "lakeside")
NPI = "http://hl7.org/fhir/sid/us-npi"
NUMBERS = {"hub": "1111111111", "mercy": "2222222222", "lakeside": "3333333333"}
SPEECH = {"system": "http://snomed.info/sct", "code": "5154007", "display": "Speech therapy"}
CATEGORY = {
    "system": "http://snomed.info/sct", "code": "718347000", "display": "Mental health care plan",
}  # fmt: skip
CONFIG = """
store: sqlite:///carelane.db
systems:
{systems}
crosswalk: {{shared: [http://us.example/ssn]}}
routes:
  - from: "*"
    to: "*"
    types: [Patient, RelatedPerson, Practitioner, PractitionerRole, Organization, Consent]
  - from: "*"
    to: "*"
    types: [CareTeam, CarePlan, Goal, Communication, CommunicationRequest, Task, ServiceRequest,
            MedicationRequest, Appointment]
    purpose: COC
{routes}
structure_only: [ServiceRequest, MedicationRequest, Appointment, DetectedIssue]
unrouted: record
coordination:
  acting: hub
{settings}
mappings: {repository}/mappings
profiles: [{repository}/profiles]
rules_folder: {rules}
"""


class Rig(Town):
    """The engine between the three systems; their tokens are their names."""

    def timers(self) -> None:
        """Let every timer go off that is due."""
        meanings, ahead = (made(lambda: self.project) for made in (handlers, foresights))
        TimerRunner(self.store, self.clock, meanings, ahead).turn()

    def tell(self, system: str, *resources: dict[str, Any], review: bool = True) -> None:
        """Send resources one by one, and let the engine react."""
        for resource in resources:
            path = f"/fhir/{resource['resourceType']}/{resource['id']}"
            answer = self.send(system, "PUT", path, resource)
            assert answer.status_code < 300, answer.text
        if review:
            self.timers()

    def on_record(self, type_name: str) -> list[dict[str, Any]]:
        """Return the canonical resources of a type."""
        rows = self.store.read(lambda tx: tx.resources.of_type(type_name))
        return [loads(row.body) | {"_version": row.version} for row in rows]

    def findings(self) -> dict[str, dict[str, Any]]:
        """Return the open findings by our code."""
        return {
            issue["code"]["coding"][0]["code"]: issue
            for issue in self.on_record("DetectedIssue")
            if issue["status"] == "preliminary"
        }


@contextmanager
def rig(
    folder: Path,
    settings: str = "",
    routes: str = "",
    rules: Path | None = None,
    kind: type[Store] = Store,
) -> Iterator[Rig]:
    """Build the rig with its store in `folder`; `settings` go under `coordination`."""
    clock = ManualClock()
    project = _project(settings, routes, rules or REPOSITORY / "rules")
    with kind.open(empty_record(folder / "carelane.db"), clock=clock) as store:
        yield Rig(project, store, clock)


@cache
def _project(settings: str, routes: str, rules: Path) -> Project:
    """Load a project once for all tests that ask alike; its store is not its own."""
    systems = "".join(
        f"""
  {name}:
    title: {name.title()}
    role: {"payer" if name == "hub" else "provider"}
    dialect: us-core
    base_url: http://{name}.example/fhir
    organization: {{value: "{NUMBERS[name]}", name: {name}}}
    token_sha256: ${{{name.upper()}_SHA256}}
    identifiers: [http://{name}.example/numbers]
    {"reads: all" if name == "hub" else ""}
"""
        for name in SYSTEMS
    )
    text = CONFIG.format(
        systems=systems, settings=settings, routes=routes, repository=REPOSITORY, rules=rules
    )
    tokens = {"hub": "hub-secret", "mercy": "mercy-secret", "lakeside": "lakeside"}
    digests = {
        f"{n.upper()}_SHA256": hashlib.sha256(t.encode()).hexdigest() for n, t in tokens.items()
    }
    with TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        path.write_text(text)
        return load(path, digests)


def patient(system: str) -> dict[str, Any]:
    """Return the girl as one system knows her; the shared number joins the records."""
    return {
        "resourceType": "Patient",
        "id": "avery",
        "identifier": [
            {"system": "http://us.example/ssn", "value": "900-00-1111"},
            {"system": f"http://{system}.example/numbers", "value": f"{system}-7"},
        ],
        "name": [{"family": "Lindqvist", "given": ["Avery"]}],
        "gender": "female",
        "birthDate": "2017-04-02",
    }


def plan(id: str, frequency: int = 2, **more: Any) -> dict[str, Any]:
    """Return an active plan with speech therapy so many times a week."""
    detail = {
        "kind": "ServiceRequest",
        "code": {"coding": [SPEECH]},
        "status": "scheduled",
        "scheduledTiming": {"repeat": {"frequency": frequency, "period": 1, "periodUnit": "wk"}},
        "goal": [{"reference": "Goal/speaks"}],
    }
    return {
        "resourceType": "CarePlan",
        "id": id,
        "text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">.</div>'},
        "status": "active",
        "intent": "plan",
        "category": [
            {
                "coding": [
                    {
                        "system": "http://hl7.org/fhir/us/core/CodeSystem/careplan-category",
                        "code": "assess-plan",
                    }
                ]
            },
            {"coding": [CATEGORY]},
        ],
        "title": f"Plan {id}",
        "subject": {"reference": "Patient/avery"},
        "goal": [{"reference": "Goal/speaks"}],
        "activity": [{"detail": detail}],
    } | more


def goal() -> dict[str, Any]:
    """Return the goal that the plans name."""
    return {
        "resourceType": "Goal",
        "id": "speaks",
        "lifecycleStatus": "active",
        "description": {"text": "Speaks in sentences"},
        "subject": {"reference": "Patient/avery"},
        "startDate": "2026-01-01",
    }


def team(*participants: dict[str, Any], id: str = "team") -> dict[str, Any]:
    """Return an active team of these participants."""
    return {
        "resourceType": "CareTeam",
        "id": id,
        "status": "active",
        "subject": {"reference": "Patient/avery"},
        "participant": list(participants),
    }


def seat(reference: str, code: str, display: str, **more: Any) -> dict[str, Any]:
    """Return a participant with a SNOMED CT role."""
    coding = {"system": "http://snomed.info/sct", "code": code, "display": display}
    return {"role": [{"coding": [coding]}], "member": {"reference": reference}} | more


def consent(*performers: str, recipients: tuple[str, ...] = SYSTEMS) -> dict[str, Any]:
    """Return a consent signed by the guardian that lets everybody listed coordinate."""
    actors = [
        {
            "role": {
                "coding": [
                    {
                        "system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType",
                        "code": "IRCP",
                    }
                ]
            },
            "reference": {"identifier": {"system": NPI, "value": NUMBERS[name]}},
        }
        for name in recipients
    ]
    return {
        "resourceType": "Consent",
        "id": "release",
        "status": "active",
        "scope": {
            "coding": [
                {
                    "system": "http://terminology.hl7.org/CodeSystem/consentscope",
                    "code": "patient-privacy",
                }
            ]
        },
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": {"reference": "Patient/avery"},
        "dateTime": "2025-12-01T10:00:00Z",
        "performer": [{"reference": "Patient/avery"}],
        "policy": [
            {
                "uri": "http://hl7.org/fhir/us/davinci-hrex/StructureDefinition-hrex-consent.html#regular"
            }
        ],
        "verification": [{"verified": True, "verificationDate": "2025-12-01T10:00:00Z"}],
        "provision": {
            "type": "permit",
            "period": {"start": "2025-12-01", "end": "2027-12-01"},
            "actor": actors,
        },
    }
