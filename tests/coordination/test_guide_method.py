"""The guide, second sentence: the method most appropriate to the need: phone, fax, meeting."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import icalendar
import pytest
from outreach_town import (
    ADDRESSES,
    OWNER,
    Place,
    consent,
    introduce,
    outreach,
    outreach_town,
    settings,
)

from engine.outreach.recipients import DISABILITY, MODES, PARTICIPATION_MODE, PREFERRED_MEDIUM

DANA, HUB = "RelatedPerson/dana", "Organization/org-prairie"
EVERY_ADDRESS = [ADDRESSES["phone"][0], ADDRESSES["fax"][0], ADDRESSES["mail"][0]]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Return a town with every medium; mail is picked up from a folder."""
    mail = {"folder": "mails", "from": "care@mercy.example"}
    with outreach_town(tmp_path, settings(tmp_path, mail=mail)) as built:
        yield built


def told(place: Place, recipient: str = DANA, **dana: Any) -> dict[str, Any]:
    """Let the guardian be as described and told something; return the choice in the ledger."""
    introduce(place, {"dana": EVERY_ADDRESS}, dana=dana)
    consent(place)
    assert place.post("mercy", outreach(recipient)).status_code == 201
    place.go()
    return place.audit("outreach.chosen")[-1]


def extension(url: str, system: str, code: str) -> dict[str, Any]:
    concept = {"coding": [{"system": system, "code": code}]}
    return {"extension": [{"url": url, "valueCodeableConcept": concept}]}


@pytest.mark.parametrize("medium", ["fax", "mail", "phone", "meeting"])
def test_the_method_follows_the_stated_preference(place: Place, medium: str) -> None:
    """Who asked for fax, mail, a call or a meeting is told by it; the ledger says why."""
    choice = told(place, **extension(PREFERRED_MEDIUM, PARTICIPATION_MODE, MODES[medium]))
    assert (choice["medium"], choice["reason"]) == (medium, "the recipient's record asks for it")
    assert [name for name, state in place.by_medium() if state == "delivered"] == [medium]


def test_the_method_follows_the_preferences_of_the_plan(tmp_path: Path) -> None:
    """The `preferences` table of config.yaml speaks for those who never said anything."""
    config = settings(tmp_path, mail=None)
    config["coordination"]["preferences"] = [{"types": ["RelatedPerson"], "prefer": ["meeting"]}]
    with outreach_town(tmp_path, config) as place:
        choice = told(place)
        assert (choice["medium"], choice["reason"]) == (
            "meeting",
            "the preferences table asks for it",
        )


@pytest.mark.parametrize(
    ("disability", "never"), [("15188001", {"phone"}), ("397540003", {"fax", "mail"})]
)
def test_the_method_follows_what_the_recipient_is_able_to(
    place: Place, disability: str, never: set[str]
) -> None:
    """Nobody who cannot hear is called, nobody who cannot see is written to."""
    choice = told(place, **extension(DISABILITY, "http://snomed.info/sct", disability))
    assert choice["medium"] not in never
    assert never <= set(choice["passed_over"])
    assert never.isdisjoint(way["medium"] for way in choice["fallbacks"])


def test_the_method_follows_the_language(place: Place) -> None:
    """Whose language no caller speaks is written to, also where it is urgent."""
    spanish = {"coding": [{"system": "urn:ietf:bcp:47", "code": "es"}]}
    introduce(
        place,
        {"dana": EVERY_ADDRESS},
        dana={"communication": [{"language": spanish, "preferred": True}]},
    )
    consent(place)
    place.post("mercy", outreach(DANA, priority="asap"))
    place.go()
    (choice,) = place.audit("outreach.chosen")
    assert (choice["medium"], choice["reason"]) == (
        "mail",
        "nobody who calls speaks the recipient's language, so it is written",
    )


def test_what_is_urgent_is_said(place: Place) -> None:
    """An urgent message is a call, where somebody can be called."""
    introduce(place, {"dana": EVERY_ADDRESS})
    consent(place)
    place.post("mercy", outreach(DANA, priority="stat"))
    place.go()
    (choice,) = place.audit("outreach.chosen")
    assert (choice["medium"], choice["reason"]) == (
        "phone",
        "it is urgent, and this is the fastest way",
    )


def test_a_method_that_fails_gives_way_to_the_next(tmp_path: Path) -> None:
    """A gateway that is gone: the next medium is used, and the ledger says after which failure."""
    (tmp_path / "faxes").write_text("a file where the folder should be")
    with outreach_town(tmp_path, settings(tmp_path, mail=None)) as place:
        prefers_fax = extension(PREFERRED_MEDIUM, PARTICIPATION_MODE, "FAXWRIT")
        assert told(place, **prefers_fax)["medium"] == "fax"
        place.retry()
        (fallback,) = place.audit("outreach.fallback")
        assert (fallback["failed"], fallback["medium"]) == ("fax", "phone")
        assert place.by_medium() == [("fax", "skipped"), ("phone", "delivered")]


def test_a_fhir_endpoint_gets_fhir(place: Place) -> None:
    """The plan's own system receives the Communication itself, and no other medium is used."""
    choice = told(place, HUB)
    assert (choice["medium"], choice["reason"]) == (
        "fhir",
        "the recipient's own system receives FHIR",
    )
    assert [one.system for one in place.told()] == ["hub"]
    assert place.by_medium() == []


def test_a_fax_gets_a_rendered_document(place: Place) -> None:
    """A PDF with cover sheet lies in the folder of the gateway, with the number to dial."""
    told(place, **extension(PREFERRED_MEDIUM, PARTICIPATION_MODE, "FAXWRIT"))
    (document,) = place.faxes()
    assert document.read_bytes().startswith(b"%PDF-")
    order = document.with_suffix(".json").read_text()
    assert '"to": "+15155550199"' in order
    assert '"pages": 2' in order


def test_a_call_becomes_a_task_with_a_due_time(place: Place) -> None:
    """A named owner is to call until an hour that is stated, and reads what may be said."""
    told(place, **extension(PREFERRED_MEDIUM, PARTICIPATION_MODE, "PHONE"))
    (task,) = place.current("Task")
    assert task["owner"]["display"] == OWNER["name"]
    assert task["restriction"]["period"]["end"] == "2026-05-03T10:00:00.000000Z"
    assert "script" in str(task["input"][0])


def test_a_meeting_becomes_a_task_with_a_due_time_and_an_invitation(place: Place) -> None:
    """The owner's Task has the hour and the invitation, and the recipient's mailbox has it too."""
    told(place, **extension(PREFERRED_MEDIUM, PARTICIPATION_MODE, "FACE"))
    (task,) = place.current("Task")
    assert task["restriction"]["period"]["end"] == "2026-05-08T10:00:00.000000Z"
    invited = [one["valueAttachment"]["data"] for one in task["input"] if "valueAttachment" in one]
    (event,) = icalendar.Calendar.from_ical(base64.b64decode(invited[0])).walk("VEVENT")
    assert str(event["attendee"]) == "mailto:dana@home.example"
    (mail,) = (place.folder / "mails").glob("*.eml")
    assert b"text/calendar" in mail.read_bytes()
