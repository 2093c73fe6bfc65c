"""Held resources on their way again: each version once, in the order in which they came."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sibling_town import PEOPLE, bundle_of, patient_of, sibling
from town import town

from engine.fhir.json import loads
from engine.releasing import release


def test_versions_held_for_the_same_reason_follow_each_other(tmp_path: Path) -> None:
    """Two versions wait for one person: the newer stands in the end, and both are delivered."""
    with town(tmp_path) as place:
        for resource in (
            patient_of(),
            sibling("t-1", "ann", name="Old"),
            sibling("t-1", "ann", name="New"),
            PEOPLE[0],
        ):
            place.clock.advance(1)
            assert place.post("mercy", bundle_of(resource, kind="batch")).status_code == 200
        (row,) = place.store.read(lambda tx: tx.resources.of_type("CareTeam"))
        assert (loads(row.body)["name"], row.version) == ("New", 2)
        assert place.store.read(lambda tx: tx.units.held()) == []
        teams = [one for one in place.deliver() if one.path.startswith("CareTeam")]
        assert [one.resource["name"] for one in teams] == ["Old", "New"]


def test_a_version_older_than_what_was_accepted_is_set_aside(tmp_path: Path) -> None:
    """A newer version that was accepted meanwhile stands; the held one never replaces it."""
    with town(tmp_path) as place:
        for resource in (
            patient_of(),
            PEOPLE[1],
            sibling("t-1", "ann", name="Old"),
            sibling("t-1", "bob", name="New"),
            PEOPLE[0],
        ):
            place.clock.advance(1)
            assert place.post("mercy", bundle_of(resource, kind="batch")).status_code == 200
        (row,) = place.store.read(lambda tx: tx.resources.of_type("CareTeam"))
        assert (loads(row.body)["name"], row.version) == ("New", 1)
        assert place.store.read(lambda tx: tx.units.held()) == []


def test_what_came_from_a_system_that_is_gone_stays_held(tmp_path: Path) -> None:
    """Without the system nobody knows its dialect; it is as it was, and nothing fails."""
    with town(tmp_path) as place:
        for resource in (patient_of(), sibling("t-1", "ann")):
            place.post("mercy", bundle_of(resource, kind="batch"))
        (row,) = place.store.read(lambda tx: tx.units.held())
        config = place.project.config
        systems = {name: one for name, one in config.systems.items() if name != "mercy"}
        without = replace(place.project, config=replace(config, systems=systems))
        assert not place.store.write(lambda tx: release(tx, without, row)).result()
        assert place.store.read(lambda tx: tx.units.held()) == [row]
