"""AuditEvents and Provenance of the record, rendered when the operator asks for them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fhir.resources.R4B.auditevent import AuditEvent
from fhir.resources.R4B.provenance import Provenance
from town import REPOSITORY, Arrived, Town, environment, town
from typer.testing import CliRunner

from engine.audit_event import DECISION_PROFILE, SOURCE_PROFILE
from engine.cli.ledger import app as ledger_app
from engine.samples.bundles import sample
from engine.validate import validate

MEMBER = "http://prairie.example/member|W55012-03"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Town]:
    """Return a town in which one outreach failed once, then arrived, and one was refused."""
    with town(tmp_path) as built:
        for name in ("01-who-is-who", "03-outreach-before-consent", "04-signed-consent"):
            built.send("mercy", "POST", *_sent(name))
        built.deliver()
        built.clock.advance(5)
        failures = [httpx.Response(503)]

        def script(seen: Arrived) -> httpx.Response | None:
            return failures.pop() if failures else None

        built.script = script
        assert built.send("mercy", "POST", *_sent("05-outreach")).status_code == 201
        built.deliver()
        built.clock.advance(60)
        assert [one.resource["resourceType"] for one in built.deliver()] == ["Communication"]
        yield built


def _sent(name: str) -> tuple[str, bytes]:
    body = sample(name)
    kind = json.loads(body)["resourceType"]
    return ("/fhir" if kind == "Bundle" else f"/fhir/{kind}", body)


def found(place: Town, query: str, type_name: str = "AuditEvent") -> list[dict[str, Any]]:
    response = place.send("hub", "GET", f"/fhir/{type_name}{query}")
    assert response.status_code == 200, response.text
    return [entry["resource"] for entry in response.json().get("entry", ())]


def kinds(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return what each event is (decision 110113, disclosure 110106) and how it came out."""
    return [(event["type"]["code"], event["outcome"]) for event in events]


def test_each_decision_and_each_attempt_has_its_event(place: Town) -> None:
    """Refused, accepted, sent in vain, sent: decisions before the disclosures resting on them."""
    events = found(place, "")
    assert kinds(events) == [
        ("110113", "8"),  # the outreach before any consent
        ("110113", "0"),  # the outreach accepted
        ("110113", "0"),  # decided again at sending
        ("110106", "4"),  # which failed
        ("110113", "0"),  # and again
        ("110106", "0"),  # which arrived
    ]
    for event in events:
        assert validate(event) == []
        AuditEvent.model_validate(event)


def test_an_event_names_member_consent_and_both_organizations(place: Town) -> None:
    """A disclosure says who told whom about whom, resting on which version of which Consent."""
    disclosed = found(place, "")[-1]
    assert disclosed["meta"]["profile"] == [SOURCE_PROFILE]
    references = [entity["what"].get("reference", "") for entity in disclosed["entity"]]
    assert [reference.split("/")[0] for reference in references] == [
        "Patient",
        "Communication",
        "Consent",
    ]
    assert references[2].endswith("/_history/1")
    told = [agent["who"].get("identifier", {}).get("value") for agent in disclosed["agent"]]
    assert "95216" in told
    assert "1942260013" in told
    assert any(
        "RelatedPerson/" in agent["who"].get("reference", "") for agent in disclosed["agent"]
    )
    assert disclosed["purposeOfEvent"][0]["coding"][0]["code"] == "COC"


def test_a_decision_event_claims_its_profile_where_a_consent_is_named(place: Town) -> None:
    """Without any consent the event stands for itself; with one it is an AuthZconsent."""
    events = found(place, "")
    assert "meta" not in events[0]
    assert events[0]["outcomeDesc"] == "consent-missing"
    assert events[1]["meta"]["profile"] == [DECISION_PROFILE]


@pytest.mark.parametrize(
    ("query", "count"),
    [
        (f"?patient={MEMBER}", 6),
        ("?patient=nobody", 0),
        ("?date=ge2026-05-01T10:00:01Z", 5),
        ("?date=lt2026-05-01T10:00:01Z", 1),
        ("?date=ge2030-01-01T00:00:00Z", 0),
        ("?entity=Communication/unknown", 0),
    ],
)
def test_events_are_found_by_patient_and_date(place: Town, query: str, count: int) -> None:
    """An auditor narrows by member and by when it was decided."""
    assert len(found(place, query)) == count


def test_events_are_found_by_what_they_are_about(place: Town) -> None:
    """The canonical reference, as the operator got it, finds the story of one Communication."""
    (arrived,) = [one for one in place.arrived if one.resource["resourceType"] == "Communication"]
    events = found(place, f"?entity=Communication/{arrived.resource['id']}")
    assert len(events) == 5


def test_events_come_in_pages(place: Town) -> None:
    """Following the next links gives every event once, in order."""
    ids, url = [], "/fhir/AuditEvent?_count=1"
    for _ in range(10):
        page = place.send("hub", "GET", url).json()
        ids += [entry["resource"]["id"] for entry in page.get("entry", ())]
        url = next((link["url"] for link in page["link"] if link["relation"] == "next"), "")
        if not url:
            break
    assert ids == [event["id"] for event in found(place, "")]


def test_an_event_is_read_by_its_id(place: Town) -> None:
    """What a search returned is found again under its own address."""
    for event in found(place, ""):
        assert place.send("hub", "GET", f"/fhir/AuditEvent/{event['id']}").json() == event
    assert place.send("hub", "GET", "/fhir/AuditEvent/none").status_code == 404


def test_a_question_from_outside_has_its_event(place: Town) -> None:
    """Who asked about a member's consents stands among the events of that member."""
    question = {
        "patient": {"reference": "Patient/avery"},
        "recipient": "Organization/org-prairie",
        "purpose": [{"code": "COC"}],
    }
    place.send("mercy", "POST", "/fhir/Consent/$decide", question)
    asked = found(place, f"?patient={MEMBER}")[-1]
    assert validate(asked) == []
    assert asked["outcome"] == "0"
    assert asked["agent"][0]["who"]["identifier"]["value"] == "1942260013"


def test_what_arrived_has_a_provenance_that_names_its_consent(place: Town) -> None:
    """The Provenance of a delivered Communication rests on the version that permitted it."""
    (arrived,) = [one for one in place.arrived if one.resource["resourceType"] == "Communication"]
    (made,) = found(place, f"?target=Communication/{arrived.resource['id']}", "Provenance")
    Provenance.model_validate(made)
    assert validate(made) == []
    assert made["target"][0]["reference"].endswith(arrived.path)
    entities = [entity["what"]["reference"] for entity in made["entity"]]
    assert entities[0].startswith("Consent/")
    assert entities[0].endswith("/_history/1")
    assert entities[1].startswith("Communication/")


@pytest.mark.parametrize(
    "path", ["AuditEvent", "AuditEvent/x", "Provenance?target=Communication/1"]
)
def test_the_record_is_for_the_operator_only(place: Town, path: str) -> None:
    """Another system gets 403, nobody gets 401."""
    assert place.send("mercy", "GET", f"/fhir/{path}").status_code == 403
    assert place.send("", "GET", f"/fhir/{path}").status_code == 401


def test_provenance_that_was_sent_is_still_searched(place: Town) -> None:
    """Without a target the search is the ordinary one."""
    assert place.send("mercy", "GET", "/fhir/Provenance").status_code == 200


@pytest.mark.parametrize(
    "date",
    [
        "2026",
        "gexyz",
        "eq2026-05-01T00:00:00Z",
        "ge2026-05-01T24:00:00Z",
        "ge9999-12-31T23:59:59-14:00",
        "lt0001-01-01T00:00:00%2B14:00",
    ],
)
def test_a_date_that_cannot_be_searched_by_is_refused(place: Town, date: str) -> None:
    """A narrowing that is not understood never shows more than was asked for."""
    assert place.send("hub", "GET", f"/fhir/AuditEvent?date={date}").status_code == 400


def test_events_hold_nothing_of_the_content(place: Town) -> None:
    """Names, words and numbers of the member stay out of every event."""
    events = found(place, "")
    assert len(events) >= 3
    text = json.dumps(events)
    for word in ("Avery", "Lindqvist", "speech therapy", "MC-20417"):
        assert word not in text


def test_a_permit_of_a_transaction_that_was_refused_is_on_record_too(place: Town) -> None:
    """Every decision that was taken is kept, also where something else stopped the resource."""
    before = len(found(place, ""))
    outreach = json.loads(sample("05-outreach"))
    outreach["identifier"][0]["value"] = outreach["id"] = "in-vain"
    entries = [
        {"resource": outreach, "request": {"method": "PUT", "url": "Communication/in-vain"}},
        {
            "resource": {"resourceType": "CarePlan", "status": "nonsense"},
            "request": {"method": "POST", "url": "CarePlan"},
        },
    ]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    assert place.post("mercy", bundle).status_code == 422
    assert kinds(found(place, ""))[before:] == [("110113", "0")]


def test_the_command_prints_the_same_events(place: Town, tmp_path: Path) -> None:
    """`carelane ledger events` gives one AuditEvent a line, narrowed like the search."""
    config = ["--config", str(REPOSITORY / "config.yaml")]
    env = environment(f"sqlite:///{tmp_path / 'carelane.db'}")
    asked = ["events", "--member", MEMBER, "--since", "2026-05-01T10:00:01Z", *config]
    said = CliRunner().invoke(ledger_app, asked, env=env)
    assert said.exit_code == 0, said.output
    events = [json.loads(line) for line in said.output.splitlines()]
    assert events == found(place, f"?patient={MEMBER}&date=ge2026-05-01T10:00:01Z")
    wrong = CliRunner().invoke(ledger_app, ["events", "--since", "soon", *config], env=env)
    assert wrong.exit_code == 2
