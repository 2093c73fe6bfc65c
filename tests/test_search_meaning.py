"""What a search means: no parameter is left out quietly where more would match without it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from town import Town, town

from engine.samples.bundles import sample


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """Return a town with the sample people, team and plan."""
    with town(tmp_path_factory.mktemp("meaning")) as built:
        for name in ("01-who-is-who", "02-team-and-plan"):
            built.send("mercy", "POST", "/fhir", sample(name))
        yield built


def asked(place: Town, query: str, type_name: str = "CareTeam") -> dict[str, Any]:
    response = place.send("mercy", "GET", f"/fhir/{type_name}?{query}")
    assert response.status_code == 200, response.text
    bundle: dict[str, Any] = response.json()
    return bundle


def ids(place: Town, query: str, type_name: str = "CareTeam") -> list[str]:
    return [one["resource"]["id"] for one in asked(place, query, type_name).get("entry", ())]


@pytest.mark.parametrize(
    "query",
    [
        "_id=team&patient=nobody",
        "patient=avery&patient=nobody",
        "_id=team&_id=other",
        "status=active&status=proposed",
        "patient=Practitioner/avery",
        "patient=Group/avery",
        "patient=https://elsewhere.example/fhir/Patient/avery",
        "patient=Patient/avery/nothing",
        "patient=",
        "identifier=http://nowhere.example|",
    ],
)
def test_every_parameter_narrows(place: Town, query: str) -> None:
    """A resource matches only where each parameter fits, every time that it is given."""
    assert ids(place, query) == []


@pytest.mark.parametrize(
    "query",
    [
        "_id=team&patient=avery",
        "_id=other,team",
        "patient=nobody,avery",
        "patient:Patient=avery",
        "patient=http://engine/fhir/Patient/avery",
        "patient=http://127.0.0.1:8101/fhir/Patient/avery",
        "status=http://hl7.org/fhir/care-team-status|active",
        "status=active&status=active,proposed",
    ],
)
def test_every_way_to_name_finds(place: Town, query: str) -> None:
    """The team is found by its member under any name that a resource of the sender may use."""
    assert ids(place, query) == ["team"]


def test_an_identifier_is_found_by_its_system_alone(place: Town) -> None:
    """`system|` matches whatever has an identifier of that system."""
    assert ids(place, "identifier=http://mercy.example/mrn|", "Patient") == ["avery"]


@pytest.mark.parametrize(
    "name",
    ["status:not", "status:missing", "_id:missing", "identifier:of-type", "patient:missing",
     "patient:Practitioner", "patient:identifier", "patient.identifier"],
)  # fmt: skip
def test_what_cannot_be_applied_is_refused(place: Town, name: str) -> None:
    """A modifier turns the meaning around; a bare identifier may be anybody's."""
    answer = place.send("mercy", "GET", f"/fhir/CareTeam?{name}=avery")
    assert answer.status_code == 400
    issue = answer.json()["issue"][0]
    assert issue["expression"] == [name]


def test_a_count_of_nothing_tells_how_many(place: Town) -> None:
    """`_count=0` has a total and neither matches nor a next page."""
    counted = asked(place, "_count=0", "Practitioner")
    assert counted["total"] == len(ids(place, "_count=100", "Practitioner")) > 1
    assert "entry" not in counted
    assert [link["relation"] for link in counted["link"]] == ["self"]


def test_the_capability_statement_names_the_base_however_it_is_asked_for(place: Town) -> None:
    """`_format` belongs to the request, not to the address of the server."""
    told = place.send("", "GET", "/fhir/metadata?_format=json").json()
    assert told["implementation"]["url"] == "http://engine/fhir"
    assert "GET http://engine/cds-services" in told["rest"][0]["documentation"]


@pytest.mark.parametrize("path", ["CareTeam?", "CareTeam/team?", "metadata?", "Subscription?"])
def test_json_is_a_format_like_any_other_client_asks_for(place: Town, path: str) -> None:
    """`_format` is known, also under strict handling; what is not JSON is not offered."""
    strict = {"Prefer": "handling=strict"}
    for name in ("json", "application/fhir+json", "application/fhir%2Bjson;fhirVersion=4.0"):
        asked = f"/fhir/{path}_format={name}"
        answer = place.send("mercy", "GET", asked, None, strict)
        assert answer.status_code == 200, answer.text
        assert "R018" not in answer.text
    assert place.send("mercy", "GET", f"/fhir/{path}_format=").status_code == 200
    refused = place.send("mercy", "GET", f"/fhir/{path}_format=xml")
    assert refused.status_code == 406


@pytest.mark.parametrize(
    "path", ["AuditEvent?", "AuditEvent/1?", "Provenance?target=Task/1&", "Subscription/1?"]
)
def test_no_other_format_is_offered_of_the_record_either(place: Town, path: str) -> None:
    """What only its owner may read is answered in no format that was not asked for."""
    assert place.send("mercy", "GET", f"/fhir/{path}_format=xml").status_code == 406


def test_a_search_for_subscriptions_refuses_modifiers(place: Town) -> None:
    """`status:not` would list all subscriptions if it were left out."""
    assert place.send("mercy", "GET", "/fhir/Subscription?status:not=off").status_code == 400


def test_versions_are_not_promised(place: Town) -> None:
    """The version in `meta` stays the sender's, and the CapabilityStatement says so."""
    rest = place.send("", "GET", "/fhir/metadata").json()["rest"][0]
    assert {one.get("versioning", "no-version") for one in rest["resource"]} == {"no-version"}
