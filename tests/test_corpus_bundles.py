"""Real public Bundles: each entry gets an outcome, teams and plans arrive valid."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from empty_record import empty_record
from town import Town, environment

from engine.project import Project, load
from engine.store import Store
from engine.testing import ManualClock

CONFIG = """
store: sqlite:///carelane.db
systems:
  mercy:
    role: provider
    dialect: {dialect}
    base_url: http://mercy.example/fhir
    organization: {{value: "1942260013"}}
    token_sha256: ${{MERCY_TOKEN_SHA256}}
    identifiers: [https://github.com/synthetichealth/synthea, http://hospital.smarthealthit.org]
  hub:
    role: payer
    dialect: hrex
    base_url: http://hub.example/fhir
    organization: {{value: "1942260021"}}
    token_sha256: ${{HUB_TOKEN_SHA256}}
    identifiers: [http://prairie.example/member]
routes:
  - from: mercy
    to: hub
    types: [Patient, RelatedPerson, Practitioner, PractitionerRole, Organization, CareTeam,
            CarePlan, Goal, Consent, Communication]
    purpose: COC
unrouted: record
limits: {{bytes: 20000000, entries: 2000, depth: 64}}
mappings: {mappings}
profiles: [{profiles}]
"""

SUBMITTED = {"transaction", "batch", "collection", "message"}


def project(folder: Path, repository: Path, dialect: str) -> Project:
    """Return a project whose hospital writes in `dialect` and keeps what no route carries."""
    text = CONFIG.format(
        dialect=dialect, mappings=repository / "mappings", profiles=repository / "profiles"
    )
    (folder / "config.yaml").write_text(text)
    return load(folder / "config.yaml", environment("sqlite:///unused.db"))


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> dict[str, Project]:
    """Return one project for each dialect that the real Bundles are written in."""
    return {
        dialect: project(tmp_path_factory.mktemp(dialect), repository, dialect)
        for dialect in ("us-core", "synthea")
    }


def bundles(shared: Path) -> list[tuple[str, bytes]]:
    """Return every Bundle of the corpus that is a submission, by its file name."""
    index = json.loads((shared / "corpus" / "index.json").read_text())
    files = [entry["file"] for entry in index if entry["resourceType"] == "Bundle"]
    found = [(name, (shared / "corpus" / "examples" / name).read_bytes()) for name in files]
    return [(name, body) for name, body in found if json.loads(body).get("type") in SUBMITTED]


def dialect_of(body: bytes) -> str:
    return "synthea" if b"synthea" in body.lower() or b'"urn:uuid:' in body else "us-core"


def test_every_entry_of_every_real_bundle_gets_an_outcome(
    shared: Path, tmp_path: Path, projects: dict[str, Project], capsys: pytest.CaptureFixture[str]
) -> None:
    """Posted to the server, each real Bundle is answered entry by entry, or refused with paths."""
    statuses: Counter[str] = Counter()
    arrived: Counter[str] = Counter()
    sent: Counter[str] = Counter()
    for number, (name, body) in enumerate(bundles(shared)):
        clock = ManualClock()
        chosen = projects[dialect_of(body)]
        with Store.open(empty_record(tmp_path / f"{number}.db"), clock=clock) as store:
            place = Town(chosen, store, clock)
            response = place.send("mercy", "POST", "/fhir", body)
            told = response.json()
            entries = json.loads(body)["entry"]
            if told["resourceType"] == "OperationOutcome":
                assert response.status_code in (403, 422), name
                assert all(issue.get("expression") for issue in told["issue"]), name
                statuses["refused whole"] += 1
                continue
            assert len(told["entry"]) == len(entries), name
            statuses.update(entry["response"]["status"][:3] for entry in told["entry"])
            sent.update(_accepted(entries, told["entry"]))
            for one in place.deliver(turns=2000):
                kind = one.resource["resourceType"]
                arrived[kind] += 1
                problems = place.project.check_dialect(one.resource, "hrex")
                assert [p for p in problems if p.severity == "error"] == [], (name, problems)
    with capsys.disabled():
        print(f"\nreal Bundles: entries {dict(statuses)}; arrived {dict(arrived)}")
    assert arrived["CareTeam"] > 0
    assert arrived["CarePlan"] > 0
    for kind in ("CareTeam", "CarePlan"):
        assert arrived[kind] == sent[kind]


def _accepted(entries: list[Any], told: list[Any]) -> list[str]:
    return [
        entry["resource"]["resourceType"]
        for entry, answer in zip(entries, told, strict=True)
        if answer["response"]["status"].startswith("201")
    ]


def test_a_dialect_that_cannot_say_a_type_is_a_clear_refusal(
    tmp_path: Path, repository: Path
) -> None:
    """A route to a dialect without a mapping for the type refuses it with R014: no crash."""
    text = CONFIG.format(
        dialect="us-core", mappings=repository / "mappings", profiles=repository / "profiles"
    ).replace("dialect: hrex", "dialect: r5")
    (tmp_path / "config.yaml").write_text(text)
    chosen = load(tmp_path / "config.yaml", environment("sqlite:///unused.db"))
    clock = ManualClock()
    with Store.open(f"sqlite:///{tmp_path / 'x.db'}", clock=clock) as store:
        goal = {"resourceType": "Goal", "id": "g", "lifecycleStatus": "active"}
        goal |= {"description": {"text": "sleep"}, "subject": {"display": "a member"}}
        response = Town(chosen, store, clock).post("mercy", goal)
    assert response.status_code == 422, response.text
    assert "R014" in response.text
