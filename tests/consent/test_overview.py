"""`carelane consents`: what is in force, for whom, until when, and what a revocation would stop."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from town import REPOSITORY, Town, environment, town_after
from typer.testing import CliRunner

from engine.cli import build
from engine.registry import Agreement, members_named, overview
from engine.samples.bundles import sample

MRN = "http://mercy.example/mrn|MC-20417"
AT = "2026-05-01T10:00:00Z"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Town]:
    """Return a town with the signed consent, and one outreach that waits."""
    with town_after(tmp_path, "01-who-is-who", "04-signed-consent") as built:
        assert (
            built.send("mercy", "POST", "/fhir/Communication", sample("05-outreach")).status_code
            == 201
        )
        yield built


def release(**changes: Any) -> dict[str, Any]:
    bundle: dict[str, Any] = json.loads(sample("04-signed-consent"))
    return {**bundle["entry"][0]["resource"], **changes}


def agreements(place: Town, at: str = AT) -> tuple[Agreement, ...]:
    (member,) = place.store.read(lambda tx: members_named(tx, place.project, MRN))
    return place.store.read(lambda tx: overview(tx, place.project, member, at)).agreements


def test_a_member_is_named_in_three_ways(place: Town) -> None:
    """Canonical id, identifier and a system's own reference mean the same member."""

    def named(name: str) -> list[str]:
        return place.store.read(lambda tx: members_named(tx, place.project, name))

    (member,) = named(MRN)
    assert named(member) == named("mercy:Patient/avery") == named(f"Patient/{member}") == [member]
    assert named("nobody") == named("mercy:Patient/nobody") == named("x|y") == []


def test_what_is_in_force_says_for_whom_and_until_when(place: Town) -> None:
    """The recipient is named, with the end of the period and who signed."""
    (one,) = agreements(place)
    assert one.state == "in force"
    assert one.until == "2034-09-01"
    assert one.ends_soon is None
    assert one.rules[0].effect == "permit"
    assert one.rules[0].recipients[0].startswith("Prairie Health Plan (Organization/")
    assert one.rules[0].senders[0].startswith("Mercy")
    assert one.signed_by[0].startswith("RelatedPerson/")


def test_a_revocation_would_stop_what_waits(place: Town) -> None:
    """The waiting outreach rests on this one consent, and is listed with its destination."""
    (one,) = agreements(place)
    (stop,) = one.stops
    assert (stop.destination, stop.state) == ("hub", "waiting")
    assert stop.resource.startswith("Communication/")


@pytest.mark.parametrize("gone", ["mercy", "hub"])
def test_what_waits_between_systems_that_are_gone_is_not_stopped(place: Town, gone: str) -> None:
    """A system that was taken out of the project hides nothing of what a member agreed to."""
    config = place.project.config
    systems = {name: one for name, one in config.systems.items() if name != gone}
    place.project = replace(place.project, config=replace(config, systems=systems))
    (one,) = agreements(place)
    assert (one.state, one.stops) == ("in force", ())


def test_what_another_consent_still_permits_is_not_stopped(place: Town) -> None:
    """With a second consent of another policy, neither alone stops the delivery."""
    other = release(id="second", policy=[{"uri": "http://example.org/other"}])
    other["identifier"] = [{"system": "http://mercy.example/consent", "value": "second"}]
    assert place.post("mercy", other).status_code == 201
    assert [one.stops for one in agreements(place)] == [(), ()]


def test_a_revoked_consent_stops_nothing_more(place: Town) -> None:
    """It is not in force, says why, and what waits is withheld by itself."""
    place.post("mercy", release(status="inactive"))
    (one,) = agreements(place)
    assert (one.state, one.stops) == ("not in force", ())
    assert one.why == "it has ended or was replaced"


def test_a_period_that_ends_soon_is_said(place: Town) -> None:
    """Within 30 days of the end it is listed; before that it is not."""
    assert agreements(place, "2034-07-01T00:00:00Z")[0].ends_soon is None
    assert agreements(place, "2034-08-15T00:00:00Z")[0].ends_soon
    assert agreements(place, "2034-09-15T00:00:00Z")[0].state == "not in force"


def test_coming_of_age_ends_what_a_guardian_signed(place: Town) -> None:
    """Before the member turns eighteen, the guardian's consent is among those that end soon."""
    (row,) = place.store.read(lambda tx: tx.resources.of_type("Patient"))
    born = json.loads(row.body)["birthDate"]
    before = f"{int(born[:4]) + 17}-{born[5:7]}-{born[8:10]}T00:00:00Z"
    soon = f"{int(born[:4]) + 18}-{born[5:7]}-{born[8:10]}T00:00:00Z"
    assert agreements(place, before)[0].ends_soon is None
    (one,) = agreements(place, soon)
    assert one.state == "denies only"


def test_a_consent_whose_newer_form_is_held_says_so(place: Town) -> None:
    """The registry tells that something newer waits to be read."""
    nobody = {"reference": "Practitioner/nobody-has-sent-this"}
    place.post("mercy", release(performer=[nobody]))
    (one,) = agreements(place)
    assert one.state == "denies only"
    assert one.why
    assert "held" in one.why


def run(place: Town, folder: Path, *more: str) -> Any:
    env = environment(f"sqlite:///{folder / 'carelane.db'}")
    args = ["consents", *more, "--config", str(REPOSITORY / "config.yaml"), "--at", AT]
    return CliRunner().invoke(build("consents"), args, env=env)


def test_the_command_tells_it_in_words_and_as_json(place: Town, tmp_path: Path) -> None:
    """A person reads sentences; --json gives the same as data."""
    said = run(place, tmp_path, "mercy:Patient/avery")
    assert said.exit_code == 0, said.output
    for part in (
        "IN FORCE",
        "until 2034-09-01",
        "would stop 1 deliveries",
        "Ending within 30 days: none",
    ):
        assert part in said.output, said.output
    data = json.loads(run(place, tmp_path, MRN, "--json").output)
    assert data["agreements"][0]["stops"][0]["destination"] == "hub"


def test_an_unknown_member_is_a_problem(place: Town, tmp_path: Path) -> None:
    """Nobody by that name: exit code 1, and nothing printed but that."""
    assert run(place, tmp_path, "nobody").exit_code == 1
