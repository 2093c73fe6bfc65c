"""The loss record of a message, and stored messages through another version of a mapping."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from empty_record import empty_record
from own_project import TEAM, edit, own_project, run, starting
from town import Town

from engine.samples.bundles import sample
from engine.store import Store
from engine.stored import stored_messages
from engine.testing import ManualClock

CODE = {"system": "http://codes.example", "code": "zz-1"}
TABLE = "tables/careteam-role.csv"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project of its own."""
    return own_project(tmp_path, monkeypatch)


@pytest.fixture
def place(folder: Path) -> Iterator[Town]:
    """Return an engine that knows who is who."""
    clock = ManualClock()
    with Store.open(empty_record(folder / "carelane.db"), clock=clock) as store:
        built = Town(starting(folder), store, clock)
        assert built.send("mercy", "POST", "/fhir", sample("01-who-is-who")).status_code == 200
        built.deliver()
        built.arrived.clear()
        yield built


def _teams(place: Town) -> list[str]:
    """Send two teams, one of them with a role that no table knows; return their messages."""
    bundle = json.loads(sample("01-who-is-who"))
    kinds = {entry["resource"]["resourceType"]: entry["resource"] for entry in bundle["entry"]}
    patient = {"reference": f"Patient/{kinds['Patient']['id']}"}
    member = {"reference": f"Practitioner/{kinds['Practitioner']['id']}"}
    sent = []
    for number, code in enumerate(("zz-1", "zz-2")):
        team = {
            "resourceType": "CareTeam",
            "id": f"team-{number}",
            "status": "active",
            "name": "Secret name",
            "subject": patient,
            "participant": [{"role": [{"coding": [{**CODE, "code": code}]}], "member": member}],
        }
        told = place.send("mercy", "POST", "/fhir/CareTeam", team)
        assert told.status_code == 201, told.text
        sent.append(told.headers["x-message-id"])
    place.deliver()
    return sent


def _row(folder: Path) -> None:
    path = folder / "mappings" / TABLE
    head = path.read_text().splitlines()[0].split(",")
    cells = {
        "dialect_system": CODE["system"],
        "dialect": CODE["code"],
        "canonical_system": "http://snomed.info/sct",
        "canonical": "999999",
        "canonical_display": "A role",
        "only": "to_canonical",
    }
    with path.open("a") as out:
        out.write(",".join(cells.get(name, "") for name in head) + "\n")


def _notes(place: Town, message: str) -> list[dict[str, Any]]:
    return list(place.store.read(lambda tx: tx.units.of_message(message))[0].notes)


def test_the_loss_record_names_path_line_table_and_versions(place: Town) -> None:
    """Each loss is on record with mapping, line, table and version, and without any value."""
    message = _teams(place)[0]
    missed = [note for note in _notes(place, message) if note["code"] == "T003"]
    assert missed
    for note in missed:
        assert note["path"].endswith("participant[0].role[0]")
        assert note["line"] > 1
        assert note["file"].endswith(".yaml")
        assert note["table"].startswith("careteam-role")
        assert len(note["table"].split(" ")[1]) == 12
        assert "/careteam " in note["mapping"]
    assert missed[0]["mapping"].startswith(TEAM)
    everything = json.dumps(_notes(place, message))
    assert "Secret" not in everything
    assert "zz-1" not in everything


def test_a_mended_row_finds_the_messages_that_it_concerned(folder: Path, place: Town) -> None:
    """Replay lists exactly the messages of which the new table row makes something else."""
    first, _ = _teams(place)
    mappings = str(folder / "mappings")
    told = run(folder, "replay", "--mapping", mappings)
    assert told.exit_code == 0, told.output
    assert "0 resources would come out otherwise" in told.output
    _row(folder)
    told = run(folder, "replay", "--mapping", mappings, "--json")
    assert told.exit_code == 1, told.output
    found = json.loads(told.output)
    assert [one["message"] for one in found] == [first]
    assert any("participant[0].role[0]" in path for path in found[0]["paths"])
    plain = run(folder, "replay", "--mapping", f"{mappings}/{TEAM}.yaml").output
    assert first in plain
    assert "999999" not in plain
    assert "999999" in run(folder, "replay", "--mapping", mappings, "--diff").output
    assert run(folder, "replay", "--mapping", f"{mappings}/us-core/task.yaml").exit_code == 0
    late = run(folder, "replay", "--mapping", mappings, "--since", "2999-01-01T00:00:00Z")
    assert late.exit_code == 0


def test_what_changed_is_sent_again_once_in_force(folder: Path, place: Town) -> None:
    """Delivering needs the mapping in force; it makes new deliveries, audited, and only once."""
    first, _ = _teams(place)
    sent = len(place.arrived)
    with (folder / "mappings" / "hrex" / "careteam.yaml").open("a") as out:
        out.write("defaults: {to_dialect: {telecom: [{system: phone, value: '555'}]}}\n")
    cases = folder / "mappings" / "hrex" / "careteam.test.yaml"
    cases.write_text(
        "cases:\n  - name: has a telephone\n    direction: to_dialect\n"
        "    input: {resourceType: CareTeam}\n    expect: {telecom: [{value: '555'}]}\n"
    )
    words = ("replay", "--mapping", str(folder / "mappings"), "--deliver", "--by", "analyst")
    told = run(folder, *words)
    assert told.exit_code == 2
    assert "carelane reload" in told.output
    assert run(folder, "reload").exit_code == 0
    place.project = starting(folder)
    told = run(folder, *words)
    assert told.exit_code == 0, told.output
    assert "2 new deliveries; 0 left" in told.output
    place.clock.advance(1e9)
    arrived = place.deliver()
    assert [one.resource["telecom"][0]["value"] for one in arrived] == ["555", "555"]
    assert len(place.arrived) == sent + 2
    kinds = place.store.read(lambda tx: list(tx.audit.of_message(first)))
    assert "analyst" in {one.actor for one in kinds if one.kind == "unit.replayed"}
    assert "0 resources would come out otherwise" in run(folder, *words).output


def test_a_refused_message_shows_that_it_would_pass_now(folder: Path, place: Town) -> None:
    """A message that a mapping refused is listed with how it would fare."""
    edit(folder, "on_miss: keep-source", "on_miss: reject")
    strict = starting(folder)
    place.app.state.intake.project = strict
    bundle = json.loads(sample("01-who-is-who"))
    patient = next(
        e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == "Patient"
    )
    team = {
        "resourceType": "CareTeam",
        "id": "team-9",
        "status": "active",
        "subject": {"reference": f"Patient/{patient['id']}"},
        "category": [{"coding": [CODE]}],
        "participant": [
            {"role": [{"coding": [CODE]}], "member": {"reference": f"Patient/{patient['id']}"}}
        ],
    }
    told = place.send("mercy", "POST", "/fhir/CareTeam", team)
    assert told.status_code == 422, told.text
    assert "T002" in told.text
    edit(folder, "on_miss: reject", "on_miss: keep-source")
    told = run(folder, "replay", "--mapping", str(folder / "mappings"))
    assert "rejected T002 -> routed" in told.output


def test_stored_messages_come_page_by_page_without_gaps(
    place: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also messages of one instant, more than a page of them, each come once."""
    _teams(place)
    for size in (1, 2, 3, 4):
        monkeypatch.setattr("engine.stored.PAGE", size)
        found = place.store.read(lambda tx: [one.message.id for one in stored_messages(tx)])
        assert len(found) == len(set(found)) == 3


def test_coverage_tells_what_traffic_used_and_brought(folder: Path, place: Town) -> None:
    """What arrived unmapped is printed as YAML to paste; rules and rows used are counted."""
    _teams(place)
    told = run(folder, "coverage", str(folder / "mappings"))
    assert told.exit_code == 0, told.output
    assert f"# {TEAM}: 2 resources; rules " in told.output
    assert "# T003 participant[].role (careteam-role" in told.output
    data = json.loads(run(folder, "coverage", str(folder / "mappings"), "--json").output)
    mine = next(one for one in data if one["mapping"] == TEAM)
    assert mine["resources"] == 2
    assert "Secret" not in json.dumps(data)
    every = run(folder, "coverage", str(folder / "mappings" / f"{TEAM}.yaml"), "--unused").output
    assert "not used" in every
