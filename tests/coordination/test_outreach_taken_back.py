"""What was taken back, corrected, or only comes back from the other side is not told."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import replace

from outreach_town import (
    DANA,
    FAX,
    LAKESIDE,
    MAIL,
    PHONE,
    PRAIRIE,
    Mailbox,
    Place,
    communication,
    consent,
    introduce,
    outreach,
    prefers,
)

from engine.coordination.outreach_tasks import take_back
from engine.outreach.recipients import MODES, PARTICIPATION_MODE
from engine.samples.bundles import sample

DAY = 86_400


def test_a_call_whose_communication_is_taken_back_is_cancelled(place: Place) -> None:
    """The Task that waits for its owner is cancelled, and its script is gone."""
    introduce(place, {"dana": PHONE})
    consent(place)
    place.post("mercy", outreach(DANA))
    place.go()
    place.post("mercy", outreach(DANA, status="entered-in-error"))
    place.go()
    (task,) = place.current("Task")
    assert task["status"] == "cancelled"
    assert task["statusReason"]["text"] == "communication-ended"
    assert "input" not in task
    assert communication(place)["status"] == "entered-in-error"


def test_who_is_taken_off_the_recipients_is_not_told(place: Place, mailbox: Mailbox) -> None:
    """A mail that waits for a busy relay stays here where its recipient was a mistake."""
    introduce(place, {"dana": MAIL, "org-lakeside": FAX})
    consent(place)
    mailbox.answer = "451 busy"
    place.post("mercy", outreach(DANA))
    place.go(1)
    place.post("mercy", outreach(LAKESIDE))
    mailbox.answer = None
    place.retry()
    assert mailbox.got == []
    assert len(place.faxes()) == 1
    assert place.by_medium() == [("mail", "held"), ("fax", "delivered")]


def test_a_call_to_who_is_taken_off_the_recipients_is_cancelled(place: Place) -> None:
    """Of two calls the one to somebody who is no recipient any more is cancelled."""
    introduce(place, {"dana": PHONE, "org-lakeside": PHONE})
    consent(place)
    place.post("mercy", outreach(DANA))
    place.go()
    place.post("mercy", outreach(LAKESIDE))
    place.go()
    assert sorted(one["status"] for one in place.current("Task")) == ["cancelled", "requested"]


def test_what_a_recipient_sends_back_is_not_told_again(place: Place, mailbox: Mailbox) -> None:
    """The hub adds a note to what it got, under a release for both: the mother has it already."""
    introduce(place, {"dana": MAIL})
    _release_for_both(place)
    place.post("mercy", outreach(PRAIRIE, DANA))
    place.go()
    (got,) = (one.resource for one in place.told())
    place.clock.advance(60)
    noted = {**got, "note": [{"text": "read"}]}
    sent = place.send("hub", "PUT", f"/fhir/Communication/{got['id']}", noted)
    assert sent.status_code == 201, sent.text
    place.go()
    assert len(mailbox.got) == 1


def _release_for_both(place: Place) -> None:
    """Let the guardian's consent cover hospital, hub and mother, in every direction."""
    bundle = json.loads(sample("04-signed-consent"))
    bundle["identifier"]["value"] += "both"
    provision = bundle["entry"][0]["resource"]["provision"]
    recipient = provision["actor"][1]
    provision["actor"] = [
        {**deepcopy(recipient), "reference": {"reference": name}}
        for name in ("Organization/org-mercy", PRAIRIE, DANA)
    ]
    response = place.post("mercy", bundle)
    assert response.status_code == 200, response.text


def test_what_becomes_of_the_words_before_says_nothing_of_the_words_now(
    place: Place, mailbox: Mailbox
) -> None:
    """The first words arrive late, the corrected ones do not: the record is not completed."""
    introduce(place, {"dana": MAIL})
    consent(place)
    mailbox.answer = "451 busy"
    place.post("mercy", outreach(DANA))
    place.go(1)
    place.post("mercy", outreach(DANA, note=[{"text": "corrected"}]))
    place.timers()
    mailbox.answer = None
    place.clock.advance(600)
    place.deliver(1)
    mailbox.answer = "550 no"
    place.retry()
    assert len(mailbox.got) == 1
    assert ("mail", "delivered") in place.by_medium()
    assert communication(place)["status"] != "completed"
    assert "sent" not in communication(place)


def test_a_meeting_that_takes_the_place_of_a_late_call_is_not_in_the_past(place: Place) -> None:
    """The call failed three weeks on: the meeting is proposed for a day still to come."""
    introduce(place, {"dana": [*PHONE, *MAIL]}, dana=prefers("phone"))
    consent(place)
    face = {"coding": [{"system": PARTICIPATION_MODE, "code": MODES["meeting"]}]}
    place.post("mercy", outreach(DANA, medium=[face]))
    place.go()
    (call,) = place.current("Task")
    place.clock.advance(21 * DAY)
    seen = place.send("mercy", "GET", f"/fhir/Task/{call['id']}").json()
    place.send("mercy", "PUT", f"/fhir/Task/{call['id']}", {**seen, "status": "failed"})
    place.go()
    (meeting,) = (one for one in place.current("Task") if one["id"] != call["id"])
    assert meeting["restriction"]["period"]["end"] > place.clock.now()


def test_what_comes_from_a_system_that_is_gone_is_told_by_no_medium(
    place: Place, mailbox: Mailbox
) -> None:
    """A mail that waits is held, and whoever looks at the call that waits cancels it."""
    introduce(place, {"dana": MAIL, "org-lakeside": PHONE})
    consent(place)
    mailbox.answer = "451 busy"
    place.post("mercy", outreach(DANA, LAKESIDE))
    place.go(1)
    config = place.project.config
    systems = {name: one for name, one in config.systems.items() if name != "mercy"}
    place.project = replace(place.project, config=replace(config, systems=systems))
    mailbox.answer = None
    place.retry()
    assert mailbox.got == []
    assert ("mail", "held") in place.by_medium()
    (held,) = place.store.read(lambda tx: tx.deliveries.search(state="held"))
    assert held.reason == "sender-removed"
    place.store.write(lambda tx: take_back(tx, place.project, str(held.member))).result()
    assert [task["status"] for task in place.current("Task")] == ["cancelled"]
