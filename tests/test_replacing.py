"""Mappings are replaced whole in a running engine or not at all, and rolled back by a command."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from empty_record import empty_record
from own_project import TEAM, edit, own_project, run, starting
from town import Town

from engine.mapping_sets import InForce, Sets
from engine.replacing import Follower, as_written, caught_up, label
from engine.sending import Sending
from engine.store import Store
from engine.testing import ManualClock


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project of its own."""
    return own_project(tmp_path, monkeypatch)


@pytest.fixture
def place(folder: Path) -> Iterator[Town]:
    """Return an engine that runs on this project."""
    with Store.open(empty_record(folder / "carelane.db"), clock=ManualClock()) as store:
        yield Town(starting(folder), store, ManualClock())


def _in_force(place: Town) -> dict[str, object]:
    told = place.send("", "GET", "/healthz").json()
    return {"set": told["mapping_set"], **told["mappings"][TEAM]}


def test_a_set_is_swapped_whole_and_rolled_back(folder: Path, place: Town) -> None:
    """Reload swaps a running engine, /healthz shows it, rollback brings the old set back."""
    intake = place.app.state.intake
    sending = Sending(place.project)
    follower = Follower(Sets.of(folder), (intake, sending))
    before = _in_force(place)
    assert not follower.look()
    edit(folder, f"version: {before['version']}", "version: 77")
    assert _in_force(place) == before
    told = run(folder, "reload")
    assert told.exit_code == 0, told.output
    assert f"{TEAM}: {before['version']} {str(before['hash'])[:12]} -> 77" in told.output
    assert follower.look()
    assert not follower.look()
    after = _in_force(place)
    assert after["version"] == 77
    assert after["set"] != before["set"]
    assert sending.project is intake.project
    told = run(folder, "rollback")
    assert told.exit_code == 0, told.output
    assert follower.look()
    assert _in_force(place) == before
    kinds = [one.kind for one in place.store.read(lambda tx: list(tx.audit.records()))]
    assert kinds.count("mappings.replaced") == 2


def test_a_rollback_survives_a_restart_until_the_next_reload(folder: Path, place: Town) -> None:
    """An engine that starts after a rollback runs the set rolled back to, not the folder."""
    edit(folder, "version: ", "version: 7")
    assert run(folder, "reload").exit_code == 0
    assert run(folder, "rollback").exit_code == 0
    again = starting(folder)
    assert again.adapters.set_hash == place.project.adapters.set_hash
    assert run(folder, "rollback").exit_code == 1
    assert run(folder, "reload").exit_code == 0
    assert starting(folder).adapters.set_hash != again.adapters.set_hash
    listed = run(folder, "rollback", "--list").output
    assert listed.count("\n") == 4
    assert "(pinned)" in listed


def test_a_pinned_set_that_is_refused_by_now_is_not_replaced_in_silence(folder: Path) -> None:
    """What an earlier version took and this one does not stops a start, and is no way back."""
    sets = Sets.of(folder)
    starting(folder)
    edit(folder, "subject:", "subjekt:")
    refused = sets.keep(folder / "mappings")
    edit(folder, "subjekt:", "subject:")
    sets.put_in_force(InForce(refused, "2026-01-01T00:00:00Z", "an earlier version", pinned=True))
    told = run(folder, "serve")
    assert told.exit_code == 2
    assert "M006" in told.output
    assert "carelane reload" in told.output
    assert run(folder, "reload").exit_code == 0
    starting(folder)
    told = run(folder, "rollback", "--to", refused)
    assert told.exit_code == 1
    assert "M006" in told.output
    assert sets.history()[-1].hash != refused


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [("subject:", "subjekt:", "M006"), ("version: ", "version: 7", "M034")],
)
def test_a_failing_set_is_refused(folder: Path, place: Town, old: str, new: str, code: str) -> None:
    """What does not compile, or breaks a case, never comes into force: the old set stays."""
    follower = Follower(Sets.of(folder), (place.app.state.intake,))
    if code == "M034":
        cases = folder / "mappings" / f"{TEAM}.test.yaml"
        cases.write_text(
            "cases:\n  - name: finds a name\n    direction: to_canonical\n"
            "    input: {resourceType: CareTeam, name: Team}\n    expect: {name: Other}\n"
        )
    edit(folder, old, new)
    told = run(folder, "reload")
    assert told.exit_code == 1
    assert code in told.output
    assert not follower.look()
    assert len(Sets.of(folder).history()) == 1


def test_a_set_that_was_tampered_with_is_refused(folder: Path, place: Town) -> None:
    """A kept set whose files changed since it was tested does not come into force."""
    follower = Follower(Sets.of(folder), (place.app.state.intake,))
    edit(folder, "version: ", "version: 7")
    assert run(folder, "reload").exit_code == 0
    kept = Sets.of(folder).in_force()
    assert kept is not None
    (Sets.of(folder).path(kept.hash) / f"{TEAM}.yaml").write_text("fields: {}")
    before = _in_force(place)
    assert not follower.look()
    assert _in_force(place) == before


def test_a_delivery_keeps_the_mapping_that_wrote_it(folder: Path, place: Town) -> None:
    """After a swap, and after a restart, what is in flight is written by its own version."""
    old = place.project.adapter("us-core", "CareTeam")
    intake = place.app.state.intake
    follower = Follower(Sets.of(folder), (intake,))
    edit(folder, "version: ", "version: 7")
    assert run(folder, "reload").exit_code == 0
    assert follower.look()
    for project in (intake.project, starting(folder)):
        now = project.adapter("us-core", "CareTeam")
        assert now.hash != old.hash
        written = as_written(project, {"mapping": label(old)}, "CareTeam")
        assert written.adapter("us-core", "CareTeam").hash == old.hash
        unknown = as_written(project, {"mapping": label(now)}, "CareTeam")
        assert unknown.adapter("us-core", "CareTeam") is now


def test_a_set_is_named_by_all_of_its_files(folder: Path) -> None:
    """The same files have the same hash; a table row makes it another set."""
    sets = Sets.of(folder)
    first = sets.keep(folder / "mappings")
    assert sets.keep(folder / "mappings") == first
    assert sets.is_whole(first)
    table = folder / "mappings" / "tables" / "careteam-role.csv"
    table.write_text(table.read_text() + "\n")
    assert sets.keep(folder / "mappings") != first
    assert sets.history() == ()


def test_a_process_forked_later_begins_with_the_set_in_force(folder: Path, place: Town) -> None:
    """What was loaded before two reloads is caught up at once; then there is nothing to follow."""
    loaded = place.project
    assert caught_up(loaded) is loaded
    edit(folder, "version: ", "version: 7")
    assert run(folder, "reload").exit_code == 0
    between = caught_up(loaded).adapter("us-core", "CareTeam")
    edit(folder, "version: ", "version: 8")
    assert run(folder, "reload").exit_code == 0
    begun = Sending(caught_up(loaded))
    assert begun.project.adapters.set_hash == starting(folder).adapters.set_hash
    assert not Follower(Sets.of(folder), (begun,)).look()
    assert Follower(Sets.of(folder), (Sending(loaded),)).look()
    for old in (loaded.adapter("us-core", "CareTeam"), between):
        written = as_written(begun.project, {"mapping": label(old)}, "CareTeam")
        assert written.adapter("us-core", "CareTeam").hash == old.hash
