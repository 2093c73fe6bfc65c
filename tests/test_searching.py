"""Searching over HTTP: what matches, for whom, page by page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from town import Town, town, town_after

from engine.samples.bundles import sample

MB = "http://prairie.example/member"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Town]:
    """Return a town with the sample people, team and plan."""
    with town_after(tmp_path, "01-who-is-who", "02-team-and-plan") as built:
        yield built


def found(place: Town, system: str, path: str, **headers: str) -> list[dict[str, Any]]:
    response = place.send(system, "GET", path, None, headers)
    assert response.status_code == 200, response.text
    return [entry["resource"] for entry in response.json().get("entry", ())]


@pytest.mark.parametrize("type_name", ["CareTeam", "AuditEvent"])
@pytest.mark.parametrize("count", ["\u00b2", "\u0663", "9" * 5000, "-1", "0", "many"])
def test_a_count_that_is_no_number_is_none(place: Town, type_name: str, count: str) -> None:
    """Whatever stands in `_count`, the search answers."""
    assert found(place, "hub", f"/fhir/{type_name}?_count={count}") is not None


@pytest.mark.parametrize(
    "asked",
    ["patient=avery", "patient=Patient/avery", "subject=Patient/avery", "_id=team", ""],
)
def test_the_sender_finds_its_team(place: Town, asked: str) -> None:
    """By member, by its own id or at all, the sender's search finds the team it sent."""
    teams = found(place, "mercy", f"/fhir/CareTeam?{asked}")
    assert [team["subject"]["reference"] for team in teams] == ["Patient/avery"]


def test_the_operator_finds_by_identifier(place: Town) -> None:
    """A member is found by any identifier that the crosswalk knows."""
    patient = found(place, "hub", "/fhir/Patient?_count=5")[0]
    identifier = patient["identifier"][0]
    token = f"{identifier['system']}|{identifier['value']}"
    assert found(place, "hub", f"/fhir/CareTeam?patient.identifier={token}")
    assert found(place, "hub", f"/fhir/Patient?identifier={token}")
    assert found(place, "hub", "/fhir/Patient?identifier=http://x|none") == []


def test_another_system_finds_nothing_that_is_not_its_own(place: Town) -> None:
    """A search never shows that something exists which the asker may not read."""
    place.send("hub", "POST", "/fhir", sample("10-answer-of-the-plan"))
    own = found(place, "mercy", "/fhir/Consent")
    assert all(consent["id"] != "roi-77120" for consent in own)
    assert place.send("", "GET", "/fhir/CareTeam").status_code == 401


def test_unknown_parameters_are_ignored_aloud_or_refused(place: Town) -> None:
    """`_totalMethod` is named in a warning; under strict handling it is refused."""
    entries = found(place, "mercy", "/fhir/CareTeam?_totalMethod=count")
    assert [entry["resourceType"] for entry in entries] == ["CareTeam", "OperationOutcome"]
    strict = place.send(
        "mercy", "GET", "/fhir/CareTeam?_totalMethod=1", None, {"Prefer": "handling=strict"}
    )
    assert strict.status_code == 400


def test_pages_show_everything_once(place: Town) -> None:
    """Following `next` shows each match once, whatever the page size."""
    whole = {resource["id"] for resource in found(place, "hub", "/fhir/Organization?_count=50")}
    seen: list[str] = []
    url: str | None = "/fhir/Organization?_count=1"
    while url:
        bundle = place.send("hub", "GET", url).json()
        seen += [entry["resource"]["id"] for entry in bundle.get("entry", ())]
        following = [link["url"] for link in bundle["link"] if link["relation"] == "next"]
        url = following[0].removeprefix("http://engine") if following else None
    assert sorted(seen) == sorted(whole)
    assert len(whole) >= 3


def test_the_capability_statement_says_what_auditors_may_search(tmp_path: Path) -> None:
    """AuditEvent and Provenance stand in it with their parameters, and the CDS hook by name."""
    with town(tmp_path) as place:
        rest = place.send("", "GET", "/fhir/metadata").json()["rest"][0]
        found = {
            one["type"]: [given["name"] for given in one["searchParam"]]
            for one in rest["resource"]
            if one["type"] in ("AuditEvent", "Provenance")
        }
        assert found == {"AuditEvent": ["patient", "entity", "date"], "Provenance": ["target"]}
        assert "patient-consent-consult" in rest["documentation"]
