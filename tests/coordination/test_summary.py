"""The member view: valid FHIR, only what the asker may see, and safe whatever stands in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from review_rig import Rig, consent, goal, patient, plan, rig, seat, team

from engine.fhir.json import loads
from engine.validate import validate

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)> & {{7*7}} {% raw %}',
    "x" * 10_000,
    "תוכנית טיפול \u202eخطة",
    "👩\u200d⚕️ plan",
    "]]><!DOCTYPE foo [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>&x;",
    "line\u0000\u001b[31m\r\nbreak\u2028",
)
SENSITIVE = "http://hl7.org/fhir/us/davinci-hrex/StructureDefinition-hrex-consent.html#sensitive"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Rig]:
    """Return a rig with a plan of the hospital, one of the clinic, and teams of both."""
    with rig(tmp_path) as built:
        for system in ("mercy", "lakeside"):
            built.tell(system, patient(system), goal())
        member = seat("Patient/avery", "116154003", "Patient")
        built.tell("mercy", practitioner("raman", "Priya", "Raman"))
        built.tell(
            "mercy", team(seat("Practitioner/raman", "82296001", "Pediatrician"), member), plan("a")
        )
        built.tell("lakeside", plan("b", 1, title="Clinic plan"))
        yield built


def practitioner(id: str, given: str, family: str) -> dict[str, Any]:
    """Return a practitioner with a number of their own."""
    return {
        "resourceType": "Practitioner",
        "id": id,
        "identifier": [{"system": "http://hl7.org/fhir/sid/us-npi", "value": "1234567893"}],
        "name": [{"given": [given], "family": family}],
    }


def signed(**more: Any) -> dict[str, Any]:
    """Return a consent that lets everybody share everything."""
    return consent() | {"policy": [{"uri": SENSITIVE}]} | more


def asked(place: Rig, system: str, form: str = "json", id: str = "avery") -> Any:
    """Ask for the summary; the operator asks by the canonical id."""
    if system == "hub" and id == "avery":
        id = place.on_record("Patient")[0]["id"]
    return place.send(system, "GET", f"/fhir/Patient/{id}/$coordination-summary?_format={form}")


def sections(bundle: dict[str, Any]) -> dict[str, str]:
    """Return the narrative of each section by its code."""
    return {
        section["code"]["coding"][0]["code"]: section["text"]["div"]
        for section in bundle["entry"][0]["resource"]["section"]
    }


@pytest.mark.parametrize("system", ["hub", "mercy", "lakeside"])
def test_the_summary_is_a_valid_document(place: Rig, system: str) -> None:
    """A document Bundle: Composition first, six sections, every reference of a section inside."""
    place.tell("mercy", signed())
    answer = asked(place, system)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/fhir+json")
    bundle = loads(answer.content)
    assert validate(bundle) == []
    composition = bundle["entry"][0]["resource"]
    assert composition["resourceType"] == "Composition"
    assert len(composition["section"]) == 6
    inside = {f"{e['resource']['resourceType']}/{e['resource']['id']}" for e in bundle["entry"]}
    told = {e["reference"] for s in composition["section"] for e in s.get("entry", ())}
    assert told <= inside
    assert composition["subject"]["reference"] in inside


def test_the_operator_sees_all(place: Rig) -> None:
    """Team by group, both plans, findings with their reasons, and the Task, without a consent."""
    found = sections(loads(asked(place, "hub").content))
    assert "Physical health · Priya Raman · Pediatrician · Mercy" in found["team"]
    assert "Plan a" in found["plans"]
    assert "Clinic plan" in found["plans"]
    assert "2 per week" in found["plans"]
    assert "1 per week" in found["plans"]
    assert "high · Different frequency" in found["findings"]
    assert "Review a finding" in found["requests"]


def test_without_consent_others_see_only_their_own(place: Rig) -> None:
    """The hospital sees its own plan, not the clinic's, and no finding that rests on both."""
    found = sections(loads(asked(place, "mercy").content))
    assert "Plan a" in found["plans"]
    whole = asked(place, "mercy").text + asked(place, "mercy", "html").text
    assert "Clinic plan" not in whole
    assert "1 per week" not in whole
    assert "Different frequency" not in whole


def test_under_a_consent_the_treating_provider_sees_both(place: Rig) -> None:
    """With a signed consent both plans and what is found between them are told."""
    place.tell("mercy", signed())
    found = sections(loads(asked(place, "mercy").content))
    assert "Clinic plan" in found["plans"]
    assert "Different frequency" in found["findings"]
    assert "Allows disclosure: Hub, Mercy, Lakeside" in found["consents"]


def test_a_revoked_consent_closes_the_view_at_once(place: Rig) -> None:
    """The decision is taken when the summary is asked for."""
    place.tell("mercy", signed())
    assert "Clinic plan" in asked(place, "mercy").text
    place.tell("mercy", signed(status="inactive"))
    assert "Clinic plan" not in asked(place, "mercy").text


def test_what_is_redacted_for_the_asker_takes_its_findings_along(place: Rig) -> None:
    """Under a consent to regular content only, an unlabelled plan and its findings stay back."""
    place.tell("mercy", consent())
    text = asked(place, "mercy").text
    assert "Clinic plan" not in text
    assert "Different frequency" not in text


def test_every_telling_is_in_the_ledger(place: Rig) -> None:
    """Who asked, and each decision with the consents it rests on, is recorded."""
    place.tell("mercy", signed())
    asked(place, "mercy")
    records = place.store.read(
        lambda tx: [record for record in tx.audit.records() if record.kind == "summary.told"]
    )
    assert records
    assert "permit" in str(records[-1].body)
    assert "Consent/" in str(records[-1].body)


def test_who_does_not_know_the_member_learns_nothing(place: Rig) -> None:
    """An unknown id, a member of others only, and no token look alike, but for 401."""
    canonical = place.on_record("Patient")[0]["id"]
    assert asked(place, "mercy", id="nobody").status_code == 404
    assert asked(place, "lakeside", id=canonical).status_code == 200
    assert asked(place, "hub", id="nobody").status_code == 404
    path = f"/fhir/Patient/{canonical}/$coordination-summary"
    assert place.send("", "GET", path).status_code == 401


def test_a_stranger_to_the_member_is_told_nothing(tmp_path: Path) -> None:
    """A system that never sent or got the member has nobody under this id."""
    with rig(tmp_path) as built:
        built.tell("mercy", patient("mercy"), goal(), plan("a"))
        id = built.on_record("Patient")[0]["id"]
        links = built.store.read(lambda tx: tx.crosswalk.known([id])[id])
        if not any(key.system == "lakeside" for key in links):
            assert asked(built, "lakeside", id=id).status_code == 404
        else:  # routed there: known by name, and still told nothing
            assert "Plan a" not in asked(built, "lakeside", id=id).text


def test_the_page_runs_nothing_and_loads_nothing(place: Rig) -> None:
    """Strict content policy, no script, no link, not stored by caches."""
    answer = asked(place, "hub", "html")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"
    assert "<script" not in answer.text
    assert "@media print" in answer.text


@pytest.mark.parametrize("form", ["json", "html", "pdf"])
@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_words_are_harmless_and_legible(place: Rig, text: str, form: str) -> None:
    """Markup, length, direction, emoji and control characters come out as letters, in measure."""
    if "\u0000" in text:
        text = text.replace("\u0000", "").replace("\u001b", "")
    place.tell("mercy", plan("a", title=text, description=text))
    person = patient("mercy")
    person["name"] = [{"family": text[:2000]}]
    place.tell("mercy", person)
    answer = asked(place, "hub", form)
    assert answer.status_code == 200, answer.text[:500]
    if form == "pdf":
        assert answer.content.startswith(b"%PDF-")
        assert len(answer.content) < 2_000_000
        return
    if form == "json":
        bundle = loads(answer.content)
        assert validate(bundle) == []
        return
    assert "<script" not in answer.text
    assert not re.search(r"<img|<!ENTITY|\u202e", answer.text)
    assert "{{7*7}}" in answer.text or "7*7" not in text
    assert len(answer.text) < 100_000


def test_another_format_is_refused(place: Rig) -> None:
    """406 with what is offered; Accept chooses as well."""
    assert asked(place, "hub", "xml").status_code == 406
    id = place.on_record("Patient")[0]["id"]
    path = f"/fhir/Patient/{id}/$coordination-summary"
    page = place.send("hub", "GET", path, headers={"Accept": "text/html"})
    assert page.headers["content-type"].startswith("text/html")


def test_a_consent_says_who_may_tell_whom(place: Rig) -> None:
    """The page says the direction of a release, not only whom it names."""
    one_way = signed()
    roles = [
        ("http://terminology.hl7.org/CodeSystem/provenance-participant-type", "performer"),
        ("http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "IRCP"),
    ]
    one_way["provision"]["actor"] = [
        {
            "role": {"coding": [{"system": system, "code": code}]},
            "reference": {
                "identifier": {"system": "http://hl7.org/fhir/sid/us-npi", "value": number}
            },
        }
        for (system, code), number in zip(roles, ("2222222222", "3333333333"), strict=True)
    ]
    place.tell("mercy", one_way)
    assert "Mercy may tell Lakeside" in sections(asked(place, "hub").json())["consents"]


def test_a_communication_under_way_is_not_called_sent(place: Rig) -> None:
    """What nobody was told yet stands first, and says so."""
    place.tell("mercy", signed())
    for id, status in (("old", "completed"), ("new", "in-progress")):
        told = {
            "resourceType": "Communication",
            "id": id,
            "status": status,
            "subject": {"reference": "Patient/avery"},
            "payload": [{"contentString": f"The {id} words"}],
        }
        place.tell("mercy", told)
    place.deliver()
    said = sections(asked(place, "hub").json())["communications"]
    assert said.index("Under way · The new words") < said.index("Sent · The old words")
