"""A town with systems that keep one participant in each team: projects, and what they send."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from town import REPOSITORY, environment

from engine.project import Project, load

Tree = dict[str, Any]
SYSTEM = """
  {name}:
    title: {name}
    role: provider
    dialect: {dialect}
    base_url: https://{name}.example/fhir
    organization: {{value: "{npi}", name: {name}}}
    token_sha256: ${{{token}}}
    identifiers: [http://{name}.example/mrn]
"""
ROUTES = """
  - {from: "*", to: "*", types: [Patient, Practitioner, CareTeam, CarePlan, Consent], purpose: COC}
"""
CLINIC, LAKE = ("clinic", "text-first", "1111111112"), ("lake", "us-core", "1111111113")


def config(*others: tuple[str, str, str], guarded: bool = False) -> str:
    text = (REPOSITORY / "config.yaml").read_text()
    head, _, _ = text.partition("\nroutes:\n")
    head = head.replace("dialect: us-core", "dialect: text-first", 1)
    for name, dialect, npi in others:
        token = f"{name.upper()}_TOKEN"
        head += SYSTEM.format(name=name, dialect=dialect, npi=npi, token=token)
    rules = "\nrules: {consent: {applies_to: [Communication, CareTeam]}}\n" if guarded else ""
    return f"{head}\nroutes:{ROUTES}\nunrouted: reject\n{rules}"


@cache
def project_with(others: tuple[tuple[str, str, str], ...], guarded: bool) -> Project:
    """Return a project, loaded once for all tests that ask alike; its folder goes again."""
    tokens = {
        f"{name.upper()}_TOKEN": hashlib.sha256(name.encode()).hexdigest() for name, *_ in others
    }
    with TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        path.write_text(config(*others, guarded=guarded))
        for name in ("mappings", "profiles", "rules"):
            (Path(folder) / name).symlink_to(REPOSITORY / name)
        return load(path, environment("sqlite:///unused.db", **tokens))


def patient_of(id: str = "77", mrn: str = "A1", system: str = "mercy") -> Tree:
    identifier = [{"system": f"http://{system}.example/mrn", "value": mrn}]
    name = [{"family": "Rivera"}]
    head = {"resourceType": "Patient", "id": id, "identifier": identifier}
    return {**head, "name": name, "gender": "female"}


def person(id: str) -> Tree:
    name = [{"family": id.title()}]
    identifier = [{"system": "http://hl7.org/fhir/sid/us-npi", "value": npi(id)}]
    return {"resourceType": "Practitioner", "id": id, "identifier": identifier, "name": name}


def npi(id: str) -> str:
    return str(1000000000 + int(hashlib.sha256(id.encode()).hexdigest()[:7], 16))


def sibling(id: str, who: str, **more: Any) -> Tree:
    member = {"reference": f"Practitioner/{who}"}
    seat = {"role": [{"text": f"Role of {who}"}], "member": member}
    head = {"resourceType": "CareTeam", "id": id, "status": "active"}
    return {**head, "subject": {"reference": "Patient/77"}, "participant": [seat], **more}


def bundle_of(*resources: Tree, kind: str = "transaction") -> Tree:
    entries = []
    for one in resources:
        request = {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}
        entries.append({"resource": one, "request": request})
    return {"resourceType": "Bundle", "type": kind, "entry": entries}


PEOPLE = [person(name) for name in ("ann", "bob", "cat")]
KIN = [sibling("t_a", "ann", name="Reading"), sibling("t_b", "bob", name="Health")]
