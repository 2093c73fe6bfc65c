"""Elements that FHIR does not have: refused, counted, let pass by the lines that are printed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from empty_record import empty_record
from own_project import TEAM, own_project, run, starting
from town import Town
from typer.testing import CliRunner, Result

from engine.cli import build
from engine.samples.bundles import sample
from engine.store import Store
from engine.testing import ManualClock

STRANGE = {"colour": "blue", "period": {"start": "2026-05", "phase": "first"}}


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
        built.deliver(200)
        built.arrived.clear()
        yield built


def _team(**more: Any) -> dict[str, Any]:
    bundle = json.loads(sample("01-who-is-who"))
    kinds = {entry["resource"]["resourceType"]: entry["resource"] for entry in bundle["entry"]}
    member = {"reference": f"Practitioner/{kinds['Practitioner']['id']}"}
    return {
        "resourceType": "CareTeam",
        "id": "team-1",
        "status": "active",
        "name": "Team",
        "subject": {"reference": f"Patient/{kinds['Patient']['id']}"},
        "participant": [{"role": [{"text": "nurse"}], "member": member, "nick": "Nan"}],
        **more,
    }


def _printed(folder: Path) -> list[str]:
    """Return what `coverage` prints for the mapping of teams, without its own remarks."""
    told = run(folder, "coverage", str(folder / "mappings" / f"{TEAM}.yaml"))
    assert told.exit_code == 0, told.output
    return [line for line in told.output.splitlines() if line and not line.startswith("#")]


def _checked(command: str, path: Path) -> Result:
    return CliRunner().invoke(build(command), [command, str(path)])


def _paste(folder: Path, lines: list[str]) -> None:
    """Put the lines where they say that they belong."""
    path = folder / "mappings" / f"{TEAM}.yaml"
    top = [line for line in lines if line.startswith(("on_unmapped", " "))]
    fields = [line for line in lines if line not in top]
    text = path.read_text()
    assert "on_unmapped: reject\n" in text
    text = text.replace("on_unmapped: reject\n", "\n".join(top) + "\n")
    for line in fields:
        name = line.partition(":")[0].removesuffix("[]")
        kept = [old for old in text.splitlines() if not old.startswith(f"  {name}:")]
        kept.insert(kept.index("fields:") + 1, f"  {line}")
        text = "\n".join(kept) + "\n"
    path.write_text(text)


def test_what_arrived_unmapped_passes_by_the_lines_that_are_printed(
    folder: Path, place: Town
) -> None:
    """Refused first; the printed YAML compiles and lints, and then the same message passes."""
    team = _team(**STRANGE)
    told = place.post("mercy", team)
    assert told.status_code == 422
    for path in ("CareTeam.colour", "CareTeam.period.phase", "CareTeam.participant[0].nick"):
        assert path in told.text
    assert place.post("mercy", _team(id="team-2")).status_code == 422
    lines = _printed(folder)
    assert lines[1] == "  participant[].nick: carry  # 2 times"
    assert {"  colour: carry  # once", "  period.phase: carry  # once"} <= set(lines)
    _paste(folder, lines)
    assert _checked("certify", folder).exit_code == 0
    linted = _checked("lint", folder)
    assert linted.exit_code == 0, linted.output
    replayed = run(folder, "replay", "--mapping", str(folder / "mappings"))
    assert replayed.output.count("rejected V001 -> routed") == 2, replayed.output
    assert run(folder, "reload").exit_code == 0
    place.app.state.intake.project = starting(folder)
    place.project = starting(folder)
    again = place.post("mercy", team)
    assert again.status_code == 201, again.text
    (arrived,) = place.deliver(200)
    assert "colour" not in arrived.resource
    assert "blue" not in json.dumps(arrived.resource)
    adapter = place.project.adapters.mapped["us-core", "CareTeam"]
    gone = adapter.to_canonical(team)
    assert gone.resource is not None
    assert "colour" not in gone.resource
    assert adapter.to_dialect(gone.resource).resource == team


def test_an_element_that_is_not_named_is_still_refused(folder: Path, place: Town) -> None:
    """Naming one unknown element opens the mapping for this one alone."""
    _paste(folder, ["on_unmapped:", "  colour: {drop: a mood of the day}"])
    place.app.state.intake.project = starting(folder)
    told = place.post("mercy", _team(colour="blue"))
    assert told.status_code == 422
    assert "CareTeam.participant[0].nick" in told.text
    assert "CareTeam.colour" not in told.text


@pytest.mark.parametrize(
    ("named", "code", "said"),
    [
        ("status", "M029", "FHIR has the element 'status'"),
        ("period.phase", "M029", "goes across whole"),
        ("particpant[].nick", "M006", "did you mean 'participant'"),
    ],
)
def test_a_name_that_cannot_be_taken_is_refused(
    named: str, code: str, said: str, folder: Path
) -> None:
    """What FHIR has belongs under fields; what lies in a copied object needs rules around it."""
    _paste(folder, ["on_unmapped:", f"  {named}: carry"])
    told = _checked("lint", folder / "mappings" / f"{TEAM}.yaml")
    assert told.exit_code == 1
    assert code in told.output
    assert said in told.output


def test_a_partners_update_brings_back_what_it_never_saw(folder: Path, place: Town) -> None:
    """What was carried for one system goes home with the update of another, and nowhere else."""
    _paste(folder, ["on_unmapped: carry"])
    place.app.state.intake.project = place.project = starting(folder)
    team = _team(**STRANGE)
    del team["period"]["phase"]
    cook = {**team["participant"][0], "role": [{"text": "cook"}], "nick": "Chef"}
    team["participant"].append(cook)
    assert place.post("mercy", team).status_code == 201
    (arrived,) = place.deliver(200)
    update = {**arrived.resource, "name": "Team, as the plan calls it"}
    update["participant"][1]["role"] = [{"text": "chef de cuisine"}]
    told = place.send("hub", "PUT", f"/fhir/CareTeam/{update['id']}", update)
    assert told.is_success, told.text
    (back,) = place.deliver(200)
    assert back.system == "mercy"
    assert back.resource["name"] == "Team, as the plan calls it"
    assert back.resource["colour"] == "blue"
    assert [item.get("nick") for item in back.resource["participant"]] == ["Nan", None]
    assert "carelane" not in json.dumps(back.resource)
    entity = told.headers["location"].split("/CareTeam/")[1].split("/")[0]
    kept = place.store.read(lambda tx: tx.resources.version("CareTeam", entity, 1))
    assert kept is not None
    assert b"Chef" in kept.body
