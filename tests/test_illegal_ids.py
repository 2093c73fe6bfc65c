"""Ids with `_`, which FHIR does not allow, are taken where the dialect says so, and go back so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from empty_record import empty_record
from own_project import starting
from town import REPOSITORY, Town, environment, loaded

from engine.store import Store
from engine.testing import ManualClock


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Town]:
    """Return an engine in which the hospital speaks text-first and the hub is told in turn."""
    text = (REPOSITORY / "config.yaml").read_text()
    assert "dialect: us-core" in text
    (tmp_path / "config.yaml").write_text(
        text.replace("dialect: us-core", "dialect: text-first", 1)
    )
    for name in ("mappings", "profiles", "rules"):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    for name, value in environment(f"sqlite:///{tmp_path / 'carelane.db'}").items():
        monkeypatch.setenv(name, value)
    clock = ManualClock()
    with Store.open(empty_record(tmp_path / "carelane.db"), clock=clock) as store:
        yield Town(starting(tmp_path), store, clock)


def _bundle(*resources: dict[str, Any]) -> dict[str, Any]:
    entries = [
        {"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}}
        for one in resources
    ]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def test_an_illegal_id_is_taken_recorded_and_goes_home_unchanged(place: Town) -> None:
    """A patient and a team with `_` travel, the hub sees lawful ids, the source its own."""
    patient = {
        "resourceType": "Patient",
        "id": "p_1",
        "identifier": [{"system": "http://mercy.example/mrn", "value": "A1"}],
        "name": [{"family": "Rivera"}],
        "gender": "female",
    }
    team = {
        "resourceType": "CareTeam",
        "id": "t_1",
        "status": "active",
        "subject": {"reference": "Patient/p_1"},
        "participant": [
            {"role": [{"text": "Self"}], "member": {"reference": "Patient/p_1"}},
        ],
    }
    told = place.post("mercy", _bundle(patient, team))
    assert told.status_code == 200, told.text
    notes = place.store.read(
        lambda tx: [
            note["code"]
            for unit in tx.units.of_message(told.headers["x-message-id"])
            for note in unit.notes
        ]
    )
    assert notes.count("R019") == 2
    arrived = place.deliver()
    assert {one.resource["resourceType"] for one in arrived} == {"Patient", "CareTeam"}
    assert all("_" not in one.resource["id"] for one in arrived)
    back = place.send("mercy", "GET", "/fhir/CareTeam/t_1")
    if back.status_code == 200:
        assert back.json()["id"] == "t_1"
        assert back.json()["subject"]["reference"] == "Patient/p_1"


def test_other_dialects_still_refuse_it() -> None:
    """Where the mapping does not say so, such an id is refused with its path."""
    project = loaded()
    team = {"resourceType": "CareTeam", "id": "t_1"}
    assert project.check_version(team, "text-first") == []
    assert project.check_version({"resourceType": "Patient", "id": "t_1"}, "text-first") == []
    assert [problem.path for problem in project.check_version(team, "us-core")] == ["CareTeam.id"]
