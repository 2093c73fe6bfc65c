"""The people whom outreach is for: each is told by a medium of their own, where they are now."""

from __future__ import annotations

from pathlib import Path

from outreach_town import (
    DANA,
    FAX,
    LAKESIDE,
    MAIL,
    PHONE,
    PRAIRIE,
    Mailbox,
    Place,
    codes_of,
    communication,
    consent,
    introduce,
    outreach,
    outreach_town,
    settings,
    went_out,
)

GUARDIAN = {"system": "http://terminology.hl7.org/CodeSystem/v3-RoleCode", "code": "GUARD"}


def test_somebody_whom_nothing_reaches_is_not_done(place: Place) -> None:
    """Without any address the Communication is not-done, with the reason of FHIR's code system."""
    introduce(place, {})
    consent(place)
    place.post("mercy", outreach(DANA))
    place.go()
    record = communication(place)
    assert record["status"] == "not-done"
    assert record["statusReason"]["coding"][0]["code"] == "recipient-unavailable"
    (choice,) = place.audit("outreach.chosen")
    assert choice["medium"] == "none"


def test_each_recipient_has_a_medium_and_the_record_waits_for_all(
    place: Place, mailbox: Mailbox
) -> None:
    """One by FHIR, one by fax, one by mail: completed once all three were told."""
    introduce(place, {"org-lakeside": FAX, "dana": MAIL})
    consent(place)
    place.post("mercy", outreach(PRAIRIE, LAKESIDE, DANA))
    place.go()
    assert went_out(place, mailbox) == {"fhir": 1, "fax": 1, "mail": 1, "phone": 0, "meeting": 0}
    record = communication(place)
    assert (record["status"], codes_of(record)) == (
        "completed",
        ["ELECTRONIC", "FAXWRIT", "EMAILWRIT"],
    )


def test_a_team_stands_for_those_who_belong_to_it_now(place: Place, mailbox: Mailbox) -> None:
    """A CareTeam as recipient: each present participant is told by a medium of their own."""
    introduce(place, {"dana": MAIL, "org-lakeside": FAX})
    team = {
        "resourceType": "CareTeam",
        "id": "team-9",
        "status": "active",
        "subject": {"reference": "Patient/avery"},
        "participant": [
            {"role": [{"text": "Mother"}], "member": {"reference": DANA}},
            {
                "role": [{"text": "Therapist"}],
                "member": {"reference": LAKESIDE},
                "period": {"end": "2026-01-31"},
            },
        ],
    }
    assert place.post("mercy", team).status_code in (200, 201)
    consent(place, "org-lakeside", "CareTeam/team-9")
    response = place.post("mercy", outreach("CareTeam/team-9"))
    assert response.status_code == 201, response.text
    place.go()
    assert (len(mailbox.got), len(place.faxes())) == (1, 0)


def test_a_communication_released_from_a_hold_is_told(place: Place, mailbox: Mailbox) -> None:
    """One that waited for an unknown recipient is planned once that recipient is known."""
    introduce(place, {"dana": MAIL})
    consent(place)
    place.go()
    late = {
        "resourceType": "RelatedPerson",
        "id": "sam",
        "patient": {"reference": "Patient/avery"},
        "relationship": [{"coding": [GUARDIAN]}],
        "telecom": [{"system": "email", "value": "sam@home.example"}],
    }
    assert place.post("mercy", outreach("RelatedPerson/sam")).status_code == 202
    place.go()
    assert mailbox.got == []
    assert place.send("mercy", "PUT", "/fhir/RelatedPerson/sam", late).status_code in (200, 201)
    place.go()
    assert [one.rcpt_tos for one in mailbox.got] == [["sam@home.example"]]


def test_a_number_that_changed_hands_is_not_used(place: Place) -> None:
    """An address that left the record while a delivery waited is passed over."""
    introduce(place, {"org-lakeside": FAX})
    consent(place)
    place.go()
    place.post("mercy", outreach(LAKESIDE))
    place.timers()
    introduce(place, {"org-lakeside": [{"system": "fax", "value": "+1 515 555 0000"}]})
    place.go()
    assert place.faxes() == []
    held = place.store.read(lambda tx: tx.deliveries.search(state="held"))
    assert [row.reason for row in held] == ["address-changed"]


def test_the_preferences_table_decides(tmp_path: Path) -> None:
    """config.yaml can ask for another medium for one recipient."""
    config = settings(tmp_path)
    npi = "http://hl7.org/fhir/sid/us-npi|1888001124"
    config["coordination"]["preferences"] = [{"identifier": npi, "prefer": "phone"}]
    with outreach_town(tmp_path, config) as place:
        introduce(place, {"org-lakeside": [*FAX, *PHONE]})
        consent(place)
        place.post("mercy", outreach(LAKESIDE))
        place.go()
        assert place.by_medium() == [("phone", "delivered")]
        (choice,) = place.audit("outreach.chosen")
        assert choice["reason"] == "the preferences table asks for it"
