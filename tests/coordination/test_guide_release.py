"""The guide, first sentence: a release signed by the member or guardian prior to any outreach."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from valley import Valley, consent, introduction, reference, valley

EVERYBODY = ("hub", "mercy", "lakeside", "clinic")
PARTICIPATION = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
DISCLOSER = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
TYPES = "http://hl7.org/fhir/resource-types"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Valley]:
    """Return a valley in which everybody is known, and no release was signed."""
    with valley(tmp_path) as built:
        built.settle()
        yield built


def reach_out(place: Valley, **more: Any) -> int:
    """Let the hospital write to the plan; return the HTTP status."""
    message = {
        "resourceType": "Communication",
        "id": "outreach",
        "status": "completed",
        "subject": {"reference": "Patient/avery"},
        "sender": reference("mercy"),
        "recipient": [reference("hub")],
        "payload": [{"contentString": "Shall we talk?"}],
        **more,
    }
    return place.send("mercy", "PUT", "/fhir/Communication/outreach", message).status_code


def arrived(place: Valley) -> set[str]:
    """Return the systems that a Communication reached."""
    place.deliver(200)
    return {one.system for one in place.arrived if one.resource["resourceType"] == "Communication"}


def told(place: Valley) -> bool:
    """Tell whether outreach is accepted and arrives; it is one or the other, never half."""
    status, reached = reach_out(place), arrived(place)
    assert (status, reached) in ((201, {"hub", "lakeside", "clinic"}), (403, set()))
    return bool(reached)


def sign(place: Valley, *organizations: str, **changes: Any) -> None:
    """Let a release be signed; `provision` adds to what it provides."""
    provision = changes.pop("provision", {})
    release = consent(*(organizations or EVERYBODY), **changes)
    release["provision"] |= provision
    assert place.post("mercy", release).is_success
    place.deliver(200)
    place.arrived.clear()


def test_without_a_release_there_is_no_outreach(place: Valley) -> None:
    """Nobody signed anything: the Communication is rejected, and reaches nobody."""
    assert not told(place)


def test_a_release_signed_by_the_member_opens_outreach(tmp_path: Path) -> None:
    """An adult member signs for themselves."""
    with valley(tmp_path) as place:
        place.post("mercy", introduction(birthDate="1980-03-01"))
        place.deliver(200)
        sign(place, performer=[{"reference": "Patient/avery"}])
        assert told(place)


def test_a_release_signed_by_the_guardian_opens_outreach(place: Valley) -> None:
    """A guardian signs for a child."""
    sign(place, performer=[{"reference": "RelatedPerson/dana"}])
    assert told(place)


def test_a_release_signed_by_somebody_else_opens_nothing(tmp_path: Path) -> None:
    """A neighbour has no authority to sign."""
    with valley(tmp_path) as place:
        bundle = introduction()
        for entry in bundle["entry"]:
            if entry["resource"]["resourceType"] == "RelatedPerson":
                entry["resource"]["relationship"] = [{"text": "neighbour"}]
        place.post("mercy", bundle)
        place.deliver(200)
        sign(place)
        assert not told(place)


@pytest.mark.parametrize("verification", [None, [{"verified": False}]], ids=["none", "refuted"])
def test_a_release_without_a_signature_opens_nothing(place: Valley, verification: Any) -> None:
    """A form that nobody signed, or whose signature proved wrong, is no release."""
    unsigned = {"sourceAttachment": None, "verification": verification}
    release = {k: v for k, v in consent(*EVERYBODY, **unsigned).items() if v is not None}
    assert place.post("mercy", release).is_success
    place.deliver(200)
    place.arrived.clear()
    assert not told(place)


def test_a_release_signed_after_the_outreach_comes_too_late(place: Valley) -> None:
    """Prior to any outreach: what was sent before the signature is not covered by it."""
    sign(place, dateTime="2026-04-01T09:00:00Z")
    assert reach_out(place, sent="2026-03-31T09:00:00Z") == 403
    assert reach_out(place, sent="2026-04-02T09:00:00Z") == 201


def roles(*named: tuple[str, str, str]) -> dict[str, Any]:
    """Return actors of a provision: system and code of the role, and the organization."""
    return {
        "actor": [
            {
                "role": {"coding": [{"system": system, "code": code}]},
                "reference": reference(name),
            }
            for system, code, name in named
        ]
    }


UNCOVERED: dict[str, dict[str, Any]] = {
    "it is not active": {"status": "inactive"},
    "it covers another sender": {
        "provision": roles(
            (DISCLOSER, "performer", "clinic"),
            *((PARTICIPATION, "IRCP", name) for name in EVERYBODY),
        )
    },
    "it leaves one recipient out": {
        "provision": roles(*((PARTICIPATION, "IRCP", name) for name in EVERYBODY[:3]))
    },
    "it is for another purpose": {
        "provision": {
            "purpose": [
                {"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "HRESCH"}
            ]
        }
    },
    "it allows another action": {
        "provision": {
            "action": [
                {
                    "coding": [
                        {
                            "system": "http://terminology.hl7.org/CodeSystem/consentaction",
                            "code": "collect",
                        }
                    ]
                }
            ]
        }
    },
    "it is about other content": {"provision": {"class": [{"system": TYPES, "code": "CarePlan"}]}},
    "it is not in force any more": {"provision": {"period": {"end": "2026-04-30"}}},
}


@pytest.mark.parametrize("why", UNCOVERED)
def test_a_release_opens_only_what_it_covers(place: Valley, why: str) -> None:
    """Active, and for this sender, every recipient, purpose, action and content; else nothing."""
    sign(place, **UNCOVERED[why])
    assert not told(place)


@pytest.mark.parametrize("end", ["revoked", "expired"])
def test_the_release_is_asked_for_again_at_sending(place: Valley, end: str) -> None:
    """Accepted under a release that ends before it is sent: held, and nothing leaves."""
    sign(place, provision={"period": {"end": "2026-05-02"}})
    assert reach_out(place) == 201
    if end == "revoked":
        revoked = consent(*EVERYBODY, status="inactive")
        assert place.send("mercy", "PUT", "/fhir/Consent/release", revoked).is_success
    else:
        place.clock.advance(2 * 86_400)
    assert arrived(place) == set()
    held = place.store.read(lambda tx: tx.deliveries.search(state="held"))
    assert {row.reason for row in held if row.type == "Communication"} == {"consent-withdrawn"}
