"""Outreach by every medium goes out under consent only, and says no more than it allows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from outreach_town import (
    DANA,
    FAX,
    LAKESIDE,
    MAIL,
    PHONE,
    Mailbox,
    Place,
    communication,
    consent,
    introduce,
    outreach,
    outreach_town,
    ready_for,
    settings,
    went_out,
)

MEDIA = ("fhir", "fax", "mail", "phone", "meeting")


@pytest.mark.parametrize("medium", MEDIA)
def test_without_consent_nothing_goes_out(place: Place, mailbox: Mailbox, medium: str) -> None:
    """No consent at all: refused on the way in where a route leads out, held by every medium."""
    recipient = ready_for(place, medium)
    response = place.post("mercy", outreach(recipient))
    place.go()
    place.retry()
    assert response.status_code == 403
    assert set(went_out(place, mailbox).values()) == {0}


@pytest.mark.parametrize("medium", MEDIA)
def test_under_consent_exactly_the_chosen_medium_is_used(
    place: Place, mailbox: Mailbox, medium: str
) -> None:
    """Under a signed release the recipient is told once; the ledger has choice and reason."""
    recipient = ready_for(place, medium)
    consent(place)
    assert place.post("mercy", outreach(recipient)).status_code == 201
    place.go()
    told = went_out(place, mailbox)
    assert told.pop(medium) == 1
    assert told.pop("fhir", 1) == 1  # the route leads to the hub in any case
    assert set(told.values()) == {0}
    (choice,) = place.audit("outreach.chosen")
    assert choice["medium"] == medium
    assert choice["reason"]
    assert "515" not in json.dumps(choice)
    assert "@" not in json.dumps(choice)
    rows = place.store.read(lambda tx: tx.deliveries.search())
    plans = place.store.read(lambda tx: tx.timers.of_kind("outreach", "done"))
    kept = json.dumps([*(row.envelope for row in rows), *(timer.body for timer in plans)])
    assert "5155550" not in kept
    assert "home.example" not in kept


@pytest.mark.parametrize("medium", MEDIA)
def test_a_consent_revoked_before_sending_holds_every_medium(
    place: Place, mailbox: Mailbox, medium: str
) -> None:
    """The decision is taken again at sending: after the revocation nothing leaves by any medium."""
    recipient = ready_for(place, medium)
    consent(place)
    place.go()
    assert place.post("mercy", outreach(recipient)).status_code == 201
    place.timers()
    consent(place, "org-lakeside", status="inactive")
    place.go()
    place.retry()
    assert set(went_out(place, mailbox).values()) == {0}
    held = place.store.read(lambda tx: tx.deliveries.search(state="held"))
    assert {row.reason for row in held} == {"consent-withdrawn"}
    if medium != "fhir":
        assert communication(place)["status"] == "on-hold"
        decisions = place.store.read(lambda tx: tx.decisions.of_delivery(held[0].id))
        assert decisions[-1].decision != "permit"


def test_a_recipient_whom_no_consent_covers_is_told_by_no_medium(place: Place) -> None:
    """A release for one organization is none for another, whatever its fax number."""
    introduce(place, {"org-lakeside": FAX})
    consent(place, "org-prairie")
    assert place.post("mercy", outreach(LAKESIDE)).status_code == 403
    place.go()
    assert place.faxes() == []


def test_without_a_route_the_decision_is_still_taken(tmp_path: Path, mailbox: Mailbox) -> None:
    """Where no route carries a Communication, media ask for consent all the same."""
    config = settings(tmp_path)
    for route in config["routes"]:
        route["types"].remove("Communication")
    with outreach_town(tmp_path, config) as place:
        introduce(place, {"org-lakeside": FAX})
        consent(place, "org-prairie")
        assert place.post("mercy", outreach(LAKESIDE)).status_code == 201
        place.go()
        assert place.faxes() == []
        assert place.by_medium("held") == [("fax", "held")]
        consent(place, "org-lakeside")
        (held,) = place.store.read(lambda tx: tx.deliveries.search(state="held"))
        place.store.write(lambda tx: tx.deliveries.release(held.id, "tester")).result()
        place.go()
        assert len(place.faxes()) == 1
        assert communication(place)["status"] == "completed"


def test_what_an_obligation_removes_is_in_no_document(place: Place, mailbox: Mailbox) -> None:
    """A consent that withholds restricted content: words about it reach no medium."""
    introduce(place, {"org-lakeside": FAX, "dana": MAIL})
    deny = {
        "type": "deny",
        "securityLabel": [
            {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}
        ],
    }
    consent(place, provision=[deny])
    label = (
        "http://hl7.org/fhir/uv/security-label-ds4p/StructureDefinition/extension-inline-sec-label"
    )
    coding = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}
    normal = {**coding, "code": "N"}
    payload = [
        {"contentString": "SECRETWORD", "extension": [{"url": label, "valueCoding": coding}]},
        {"contentString": "Open word.", "extension": [{"url": label, "valueCoding": normal}]},
    ]
    assert place.post("mercy", outreach(DANA, payload=payload)).status_code == 201
    place.go()
    (envelope,) = mailbox.got
    assert isinstance(envelope.content, bytes)
    assert b"SECRETWORD" not in envelope.content
    assert b"Open word." in envelope.content
    rows = place.store.read(lambda tx: tx.deliveries.search())
    assert all(b"SECRETWORD" not in row.body for row in rows if row.destination != "hub")


def test_restricted_content_does_not_go_by_mail(place: Place, mailbox: Mailbox) -> None:
    """Confidentiality R: a call instead of a mail, and the ledger says why."""
    introduce(place, {"dana": [*MAIL, *PHONE]})
    consent(place, policy="sensitive")
    meta = {
        "security": [
            {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}
        ]
    }
    assert place.post("mercy", outreach(DANA, meta=meta)).status_code == 201
    place.go()
    assert mailbox.got == []
    assert place.by_medium() == [("phone", "delivered")]
    (choice,) = place.audit("outreach.chosen")
    assert choice["passed_over"]["mail"] == "restricted content may not go by it"
