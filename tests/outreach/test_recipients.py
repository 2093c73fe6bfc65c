"""Who is to be told, as their resources describe them."""

from __future__ import annotations

from typing import Any

from engine.outreach.recipients import (
    DISABILITY,
    INTERPRETER,
    PREFERRED_MEDIUM,
    Addressee,
    addressee,
    asked_media,
)

AT = "2026-05-01T10:00:00.000000Z"
MODE = "http://terminology.hl7.org/CodeSystem/v3-ParticipationMode"
ROLE = "http://terminology.hl7.org/CodeSystem/v3-RoleCode"


def read(resource: dict[str, Any], *, minor: bool = False) -> Addressee:
    whole = {"resourceType": "Patient", "id": "a", **resource}
    return addressee(whole, "Patient/a", at=AT, system=None, languages=("en",), minor=minor)


def test_addresses_out_of_their_period_are_left_out() -> None:
    """A ContactPoint counts only while its period is in force."""
    found = read(
        {
            "telecom": [
                {"system": "phone", "value": "1", "period": {"end": "2026-04-30"}},
                {"system": "phone", "value": "2", "period": {"end": "2026-05-01"}, "rank": 1},
            ]
        }
    )
    assert [(point.value, point.rank) for point in found.party.points] == [("2", 1)]


def test_a_disability_rules_media_out() -> None:
    """Hearing loss rules the phone out, visual impairment what must be read."""

    def with_(code: str) -> Addressee:
        coding = {"system": "http://snomed.info/sct", "code": code}
        extension = {"url": DISABILITY, "valueCodeableConcept": {"coding": [coding]}}
        return read({"extension": [extension]})

    assert with_("15188001").party.avoids == {"phone"}
    assert with_("397540003").party.avoids == {"fax", "mail"}


def test_a_stated_medium_and_an_interpreter_are_read() -> None:
    """The extension names the medium; an interpreter means that nobody can just call."""
    coding = {"system": MODE, "code": "EMAILWRIT"}
    found = read(
        {
            "extension": [
                {"url": PREFERRED_MEDIUM, "valueCodeableConcept": {"coding": [coding]}},
                {"url": INTERPRETER, "valueBoolean": True},
            ]
        }
    )
    assert found.party.prefers == ("mail",)
    assert not found.party.understood
    assert found.interpreter


def test_the_preferred_language_counts() -> None:
    """Of several languages the preferred one is used, by its base tag."""
    spoken = [
        {"language": {"coding": [{"code": "en"}]}},
        {"language": {"coding": [{"code": "es-MX"}]}, "preferred": True},
    ]
    found = read({"communication": spoken})
    assert found.language == "es"
    assert not found.party.understood


def test_a_minor_is_reached_through_a_guardian_whom_the_record_names() -> None:
    """Patient.contact counts for a minor, for guardians and parents, and for nobody else."""
    contact = {
        "relationship": [{"coding": [{"system": ROLE, "code": "GUARD"}]}],
        "telecom": [{"system": "phone", "value": "5550117"}],
    }
    neighbour = {"telecom": [{"system": "phone", "value": "5550118"}]}
    record = {"contact": [neighbour, contact]}
    assert [p.value for p in read(record, minor=True).party.points] == ["5550117"]
    assert not any(point.theirs for point in read(record, minor=True).party.points)
    assert read(record).party.points == ()


def test_what_the_sender_asks_for_is_read() -> None:
    """Communication.medium names media by v3-ParticipationMode."""
    coded = [{"coding": [{"system": MODE, "code": code}]} for code in ("FACE", "PHONE", "MAILWRIT")]
    assert asked_media({"medium": coded}) == ("meeting", "phone")


def test_names_are_read_as_people_write_them() -> None:
    """The official name is used, given before family."""
    names = [{"given": ["Al"]}, {"use": "official", "given": ["Avery", "J."], "family": "L"}]
    assert read({"name": names}).name == "Avery J. L"
