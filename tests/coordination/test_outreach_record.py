"""The Communication on record says truly how its outreach went, one medium after the other."""

from __future__ import annotations

from pathlib import Path

import httpx
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
)


def test_the_record_is_kept_true_on_the_way(place: Place) -> None:
    """Chosen: medium and in-progress; delivered: sent and completed; received only where known."""
    introduce(place, {"org-lakeside": FAX})
    consent(place)
    place.post("mercy", outreach(LAKESIDE, status="preparation"))
    place.timers()
    begun = communication(place)
    assert (begun["status"], codes_of(begun)) == ("in-progress", ["FAXWRIT"])
    assert "sent" not in begun
    place.go()
    told = communication(place)
    assert (told["status"], told["sent"]) == ("completed", place.clock.now())
    assert "received" not in told
    versions = place.store.read(lambda tx: tx.resources.versions("Communication", told["id"]))
    assert len(versions) == 3


def test_a_system_that_took_it_has_received_it(place: Place) -> None:
    """FHIR delivery is a receipt."""
    introduce(place, {})
    consent(place)
    place.post("mercy", outreach(PRAIRIE))
    place.go()
    told = communication(place)
    assert told["status"] == "completed"
    assert told["received"] == told["sent"]
    assert codes_of(told) == ["ELECTRONIC"]


def test_what_was_told_already_is_only_recorded(place: Place, mailbox: Mailbox) -> None:
    """A completed Communication says what happened: it is carried, and told to nobody again."""
    introduce(place, {"dana": MAIL})
    consent(place)
    place.post("mercy", outreach(DANA, status="completed"))
    place.go()
    assert place.audit("outreach.chosen") == []
    assert mailbox.got == []


def test_a_repeat_with_the_same_content_is_told_once(place: Place, mailbox: Mailbox) -> None:
    """The same words again in another state make no second mail; other words do."""
    introduce(place, {"dana": MAIL})
    consent(place)
    place.post("mercy", outreach(DANA))
    place.go()
    place.post("mercy", outreach(DANA, priority="routine", note=[{"text": "seen"}]))
    place.go()
    assert len(mailbox.got) == 2
    place.post("mercy", outreach(DANA, status="preparation"))
    place.go()
    assert len(mailbox.got) == 2


def test_a_failed_medium_falls_back_to_the_next(place: Place, mailbox: Mailbox) -> None:
    """A mail that is refused for good becomes a call, under a decision of its own."""
    mailbox.answer = "550 no such mailbox"
    introduce(place, {"dana": [*MAIL, *PHONE]})
    consent(place)
    place.post("mercy", outreach(DANA))
    place.go()
    assert place.by_medium() == [("mail", "skipped"), ("phone", "delivered")]
    (fallback,) = place.audit("outreach.fallback")
    assert (fallback["failed"], fallback["medium"]) == ("mail", "phone")
    rows = place.store.read(lambda tx: tx.deliveries.search())
    for row in rows:
        if "outreach" in row.envelope:
            made = place.store.read(lambda tx, id=row.id: tx.decisions.of_delivery(id))
            assert [one.decision for one in made] == ["permit"]
    assert set(codes_of(communication(place))) == {"EMAILWRIT", "PHONE"}
    assert communication(place)["status"] == "in-progress"


def test_a_relay_that_is_busy_is_tried_again_before_anything_else(
    place: Place, mailbox: Mailbox
) -> None:
    """4xx means later: the mail goes out at the second attempt, and no call is asked for."""
    mailbox.answer = "451 later"
    introduce(place, {"dana": [*MAIL, *PHONE]})
    consent(place)
    place.post("mercy", outreach(DANA))
    place.go()
    mailbox.answer = None
    place.clock.advance(60)
    place.go()
    assert place.by_medium() == [("mail", "delivered")]
    assert len(mailbox.got) == 1


def test_a_system_that_refuses_falls_back_too(place: Place) -> None:
    """Where a FHIR endpoint refuses for good, its organization gets a fax."""
    introduce(place, {"org-prairie": FAX})
    consent(place)
    place.go()
    place.script = lambda seen: (
        httpx.Response(422) if seen.resource["resourceType"] == "Communication" else None
    )
    place.post("mercy", outreach(PRAIRIE))
    place.go()
    assert len(place.faxes()) == 1
    assert communication(place)["status"] == "completed"


def test_when_every_medium_failed_the_record_says_stopped(tmp_path: Path, mailbox: Mailbox) -> None:
    """Nothing left to try: stopped with its reason, and the ledger says exhausted."""
    mailbox.answer = "550 no"
    with mailbox.open() as port:
        config = settings(tmp_path, port, phone=None, meeting=None)
        with outreach_town(tmp_path, config) as place:
            introduce(place, {"dana": MAIL})
            consent(place)
            place.post("mercy", outreach(DANA))
            place.go()
            assert place.by_medium() == [("mail", "skipped")]
            assert communication(place)["status"] == "stopped"
            assert len(place.audit("outreach.exhausted")) == 1


def test_what_its_source_takes_back_is_told_no_more(place: Place, mailbox: Mailbox) -> None:
    """A Communication that became entered-in-error while it waited is held."""
    introduce(place, {"dana": MAIL})
    consent(place)
    place.go()
    place.post("mercy", outreach(DANA))
    place.timers()
    place.post("mercy", outreach(DANA, status="entered-in-error"))
    place.go()
    assert mailbox.got == []
    held = place.store.read(lambda tx: tx.deliveries.search(state="held"))
    assert "communication-ended" in {row.reason for row in held}
