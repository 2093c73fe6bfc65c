"""A valley for tests: a plan that coordinates, two providers and a clinic that only asks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from empty_record import empty_record
from town import REPOSITORY, TOKENS, Town

from engine.coordination.handlers import handlers
from engine.coordination.records import Asking, ask
from engine.coordination.records_providers import providers
from engine.coordination.records_tasks import Wanted
from engine.project import Project, load
from engine.store import Store
from engine.testing import ManualClock
from engine.timers import TimerRunner
from engine.transform.crosswalk import Key

SYSTEMS = ("hub", "mercy", "lakeside", "clinic")
NPI = "http://hl7.org/fhir/sid/us-npi"
NUMBERS = {"hub": "1111111111", "mercy": "2222222222", "lakeside": "3333333333",
           "clinic": "4444444444"}  # fmt: skip
CONFIG = """
store: sqlite:///carelane.db
systems:
{systems}
routes:
  - from: "*"
    to: "*"
    types: [Patient, RelatedPerson, Practitioner, PractitionerRole, Organization, Consent]
  - from: "*"
    to: "*"
    types: [{carried}]
    purpose: COC
coordination:
  acting: hub
{settings}
mappings: {mappings}
profiles: [{profiles}]
"""
SYSTEM = """
  {name}:
    role: {role}
    dialect: {dialect}
    base_url: http://{name}.example/fhir
    organization: {{value: "{number}", name: {name}}}
    token_sha256: ${{{upper}_SHA256}}
    identifiers: [http://{name}.example/numbers]
"""


CARRIED = """CareTeam, CarePlan, Coverage, Communication, CommunicationRequest, Task,
            DocumentReference, Binary"""


def project(folder: Path, settings: str = "", carried: str = CARRIED) -> Project:
    """Return a project of four systems in which everything goes everywhere, as a trap.

    What a fax gateway watches is below `folder`.
    """
    text = _text(settings, carried)
    (folder / "config.yaml").write_text(text)
    known = _loaded(text)
    return replace(known, config=replace(known.config, root=folder))


def _text(settings: str, carried: str) -> str:
    systems = "".join(
        SYSTEM.format(
            name=name,
            upper=name.upper(),
            number=NUMBERS[name],
            role="payer" if name == "hub" else "provider",
            dialect="hrex" if name == "hub" else "us-core",
        )
        for name in SYSTEMS
    )
    return CONFIG.format(
        systems=systems,
        settings=settings,
        carried=carried,
        mappings=REPOSITORY / "mappings",
        profiles=REPOSITORY / "profiles",
    )


@cache
def _loaded(text: str) -> Project:
    """Load a project once for all tests that ask alike."""
    digests = {
        f"{name.upper()}_SHA256": hashlib.sha256(TOKENS.get(name, name).encode()).hexdigest()
        for name in SYSTEMS
    }
    with TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        path.write_text(text)
        return load(path, digests)


@contextmanager
def valley(folder: Path, settings: str = "", carried: str = CARRIED) -> Iterator[Valley]:
    """Build the valley with its store in `folder`; `settings` go under `coordination`."""
    clock = ManualClock()
    with Store.open(empty_record(folder / "carelane.db"), clock=clock) as store:
        yield Valley(project(folder, settings, carried), store, clock)


class Valley(Town):
    """The engine between the four systems; their tokens are their names."""

    def timers(self) -> None:
        """Let every timer go off that is due."""
        TimerRunner(self.store, self.clock, handlers(lambda: self.project)).turn()

    def wait(self, days: float) -> None:
        """Let days pass, and what is due go off."""
        self.clock.advance(days * 86_400)
        self.timers()

    def entity(self, key: str, system: str = "") -> str:
        """Return the entity of a reference of a system, or of an identifier."""
        kind = "reference" if system else "identifier"
        known = self.store.read(lambda tx: tx.crosswalk.resolve([Key(system, kind, key)]))
        return next(iter(known.values()))

    def ask_for_records(self, due: str = "2026-06-01T00:00:00.000000Z") -> None:
        """Let the plan ask the providers for the member's records, until an instant."""
        member = self.entity("Patient/avery", "mercy")
        asking = Asking(member, "hub", Wanted(due), "one")
        self.store.write(
            lambda tx: ask(
                tx, self.project, asking, providers(tx, self.project, member, asker="hub")
            )
        ).result()

    def kinds(self, prefix: str) -> list[str]:
        """Return what the ledger says happened, of kinds that start with `prefix`."""
        records = self.store.read(lambda tx: list(tx.audit.records()))
        return [one.kind for one in records if one.kind.startswith(prefix)]

    def settle(self) -> None:
        """Let everybody know each other: members, organizations, a guardian, a team."""
        response = self.post("mercy", introduction())
        assert response.status_code == 200, response.text
        self.deliver(200)
        self.timers()
        self.arrived.clear()

    def permit(self, *organizations: str, id: str = "release", **changes: Any) -> None:
        """Let the member's guardian permit these systems' organizations to tell each other."""
        response = self.post("mercy", consent(*organizations, id=id, **changes))
        assert response.status_code in (200, 201, 202), response.text
        self.deliver(200)
        self.timers()
        self.arrived.clear()


def reference(name: str) -> dict[str, Any]:
    return {"reference": f"Organization/{name}"}


def introduction(**patient: Any) -> dict[str, Any]:
    """Return who is who, as the hospital sends it; `patient` changes the Patient."""
    resources: list[dict[str, Any]] = [
        {
            "resourceType": "Organization",
            "id": name,
            "active": True,
            "identifier": [{"system": NPI, "value": NUMBERS[name]}],
            "name": f"The {name}",
        }
        for name in SYSTEMS
    ]
    resources += [
        {
            "resourceType": "Patient",
            "id": "avery",
            "identifier": [{"system": "http://mercy.example/numbers", "value": "A1"}],
            "name": [{"family": "Lindqvist", "given": ["Avery"]}],
            "gender": "female",
            "birthDate": "2016-03-01",
            **patient,
        },
        {
            "resourceType": "RelatedPerson",
            "id": "dana",
            "active": True,
            "patient": {"reference": "Patient/avery"},
            "relationship": [
                {
                    "coding": [
                        {
                            "system": "http://terminology.hl7.org/CodeSystem/v3-RoleCode",
                            "code": "GUARD",
                        }
                    ]
                }
            ],
            "name": [{"family": "Lindqvist", "given": ["Dana"]}],
        },
        {
            "resourceType": "CareTeam",
            "id": "team",
            "status": "active",
            "subject": {"reference": "Patient/avery"},
            "participant": [
                {"role": [{"text": "Hospital"}], "member": reference("mercy")},
                {
                    "role": [{"text": "Therapy"}],
                    "member": reference("lakeside"),
                    "period": {"start": "2024-01-01", "end": "2025-06-30"},
                },
                {"role": [{"text": "Member"}], "member": {"reference": "Patient/avery"}},
            ],
        },
    ]
    return {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {
                "fullUrl": f"http://mercy.example/fhir/{one['resourceType']}/{one['id']}",
                "resource": one,
                "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"},
            }
            for one in resources
        ],
    }


def consent(*organizations: str, id: str = "release", **changes: Any) -> dict[str, Any]:
    """Return a signed release among organizations, in both directions."""
    return {
        "resourceType": "Consent",
        "id": id,
        "status": "active",
        "scope": {
            "coding": [
                {
                    "system": "http://terminology.hl7.org/CodeSystem/consentscope",
                    "code": "patient-privacy",
                }
            ]
        },
        "category": [{"coding": [{"system": "http://loinc.org", "code": "64292-6"}]}],
        "patient": {"reference": "Patient/avery"},
        "dateTime": "2026-04-01T09:00:00Z",
        "performer": [{"reference": "RelatedPerson/dana"}],
        "sourceAttachment": {"url": "http://mercy.example/form.pdf"},
        "policy": [{"uri": "http://mercy.example/policy"}],
        "verification": [{"verified": True, "verificationDate": "2026-04-01"}],
        "provision": {
            "type": "permit",
            "actor": [
                {
                    "role": {
                        "coding": [
                            {
                                "system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType",
                                "code": role,
                            }
                        ]
                    },
                    "reference": reference(name),
                }
                for name in organizations
                for role in ("IRCP",)
            ],
        },
        **changes,
    }


def own_id(resource: Mapping[str, Any]) -> str:
    return f"{resource['resourceType']}/{resource['id']}"
