"""Mail: headers that nobody can bend, a Message-ID that stays, and a relay that is encrypted."""

from __future__ import annotations

from dataclasses import replace
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import icalendar
import pytest

from engine.config.media import Mail, Meeting, Owner, Phone
from engine.outreach.dispatch import Dispatch, name
from engine.outreach.invitation import invitation
from engine.outreach.mail import message, put, send
from engine.outreach.tasks import due_of, start_of, task

PLAIN = Dispatch(
    "mail",
    "0123456789abcdef",
    "c1",
    "2026-05-01T10:00:00.000000Z",
    "dana@home.example",
    "Dana Lindqvist",
    "RelatedPerson/d",
    "Mercy Children's Hospital",
    "a",
    "Avery",
    "",
    ("Avery's plan of care is ready.",),
    ("A notice.",),
    meeting="2026-05-08T10:00:00.000000Z",
    delivery="d1",
)
SETTINGS = Mail(host="127.0.0.1", sender="care@mercy.example")
OWNER = Owner(name="Robin Vale", system="http://prairie.example/staff", value="RV-1")
MEETING = Meeting(owner=OWNER, organizer="care@mercy.example")
HOSTILE = [
    "Dana\r\nBcc: all@evil.example",
    'Dana" <x@evil.example>, "',
    "=?utf-8?q?=0D=0ABcc:_x@evil.example?=",
    "Dana\u2028X-Evil: 1",
    "x" * 5000,
    "محمد 😀",
    "",
]


def read(mail: EmailMessage) -> EmailMessage:
    found = message_from_bytes(mail.as_bytes(), policy=policy.SMTP)
    assert isinstance(found, EmailMessage)
    return found


def invite(dispatch: Dispatch = PLAIN) -> bytes:
    return invitation(dispatch, organizer="care@mercy.example", minutes=30, place="Room 2")


@pytest.mark.parametrize("hostile", HOSTILE)
def test_no_name_makes_a_header(hostile: str) -> None:
    """A name with line ends, quotes or encoded words adds no header and no recipient."""
    mail = read(message(replace(PLAIN, to=name(hostile), sender=name(hostile)), SETTINGS))
    plain = read(message(PLAIN, SETTINGS))
    assert sorted(mail.keys()) == sorted(plain.keys())
    assert [one.addr_spec for one in mail["To"].addresses] == ["dana@home.example"]
    assert [one.addr_spec for one in mail["From"].addresses] == ["care@mercy.example"]


def test_the_subject_tells_nothing() -> None:
    """Neither member nor matter stands in a header; the words and the notice are in the body."""
    mail = read(message(PLAIN, SETTINGS))
    headers = " ".join(f"{key}: {value}" for key, value in mail.items())
    assert "Avery" not in headers
    body = mail.get_content()
    assert "Avery's plan of care is ready." in body
    assert "A notice." in body


def test_the_message_id_is_the_idempotency_key() -> None:
    """Every attempt carries the same Message-ID and the same bytes."""
    first, second = message(PLAIN, SETTINGS), message(PLAIN, SETTINGS)
    assert first["Message-ID"] == "<0123456789abcdef@mercy.example>"
    assert first.as_bytes() == second.as_bytes()


def test_a_relay_that_is_not_there_is_unreachable() -> None:
    """Nobody listens: a value that is tried again, not an exception."""
    reply = send(PLAIN, Mail(host="127.0.0.1", port=1, sender="a@b.example"), 2)
    assert reply.failure == "unreachable"


def test_an_invitation_is_one_that_clients_accept() -> None:
    """It is a REQUEST with UID, DTSTAMP, ORGANIZER, ATTENDEE and times (RFC 5546 section 3.2.2)."""
    calendar = icalendar.Calendar.from_ical(invite())
    event = calendar.walk("VEVENT")[0]
    assert calendar["METHOD"] == "REQUEST"
    assert event["UID"] == "0123456789abcdef@mercy.example"
    assert str(event["ORGANIZER"]) == "mailto:care@mercy.example"
    assert str(event["ATTENDEE"]) == "mailto:dana@home.example"
    assert event["ATTENDEE"].params["RSVP"] == "TRUE"
    assert event.decoded("DTEND") > event.decoded("DTSTART")
    assert "DTSTAMP" in event
    assert invite() == invite()


def test_an_invitation_tells_no_calendar_what_it_is_about() -> None:
    """Member, words and notices stay out of what calendars share."""
    assert b"Avery" not in invite()
    assert b"plan of care" not in invite()


@pytest.mark.parametrize("hostile", [*HOSTILE, 'x":mailto:evil@evil.example', "a;b,c\\nATTENDEE:x"])
def test_no_name_makes_a_calendar_line(hostile: str) -> None:
    """A name adds no attendee, property or parameter."""
    calendar = icalendar.Calendar.from_ical(invite(replace(PLAIN, to=name(hostile))))
    event = calendar.walk("VEVENT")[0]
    plain = icalendar.Calendar.from_ical(invite()).walk("VEVENT")[0]
    assert sorted(event.keys()) == sorted(plain.keys())
    assert str(event["ATTENDEE"]) == "mailto:dana@home.example"


def test_the_invitation_travels_as_text_calendar_and_as_a_file() -> None:
    """Clients find it as another form of the text with its method, and attached."""
    mail = read(message(PLAIN, SETTINGS, invite()))
    kinds = {part.get_content_type(): part for part in mail.walk()}
    assert kinds["text/calendar"].get_param("method") == "REQUEST"
    assert kinds["application/ics"].get_filename() == "invitation.ics"


def test_a_meeting_is_proposed_for_a_working_day() -> None:
    """Five working days after a Friday is the next Friday; stat means the next working day."""
    at = "2026-05-01T10:00:00.000000Z"
    assert start_of(MEETING, "routine", at) == "2026-05-08T10:00:00.000000Z"
    assert start_of(MEETING, "stat", at) == "2026-05-04T10:00:00.000000Z"


def test_a_call_is_due_the_sooner_the_more_urgent_it_is() -> None:
    """Routine in all the hours, urgent in half, asap in an eighth, stat in one at most."""
    at, settings = "2026-05-01T00:00:00.000000Z", Phone(owner=OWNER, within=48)
    due = [due_of(settings, priority, at)[:13] for priority in ("routine", "urgent", "asap")]
    assert due == ["2026-05-03T00", "2026-05-02T00", "2026-05-01T06"]
    assert due_of(settings, "stat", at)[:13] == "2026-05-01T01"


def test_a_task_has_owner_due_time_and_script() -> None:
    """The Task says who calls whom until when, and what may be said; its description nothing."""
    call = replace(PLAIN, medium="phone", address="+15155550117", due="2026-05-03T00:00:00Z")
    made = task(call, OWNER, "t1", {"identifier": {"system": "s", "value": "v"}}, None)
    inputs = {one["type"]["coding"][0]["code"]: one for one in made["input"]}
    assert made["owner"]["identifier"]["value"] == "RV-1"
    assert made["restriction"]["period"]["end"] == "2026-05-03T00:00:00Z"
    assert "Avery's plan of care is ready." in inputs["script"]["valueString"]
    assert inputs["address"]["valueContactPoint"]["value"] == "+15155550117"
    assert "Avery" not in made["description"]


def test_a_folder_takes_each_mail_whole_and_once(tmp_path: Path) -> None:
    """A relay that picks up finds one `.eml` with its invitation, also after a repeat."""
    folder = tmp_path / "out"
    settings = Mail(folder="out", sender="care@mercy.example")
    for _ in range(2):
        assert put(PLAIN, folder, settings, invite()).status == 202
    (file,) = folder.iterdir()
    assert (file.suffix, file.stat().st_mode & 0o777) == (".eml", 0o600)
    mail = message_from_bytes(file.read_bytes(), policy=policy.SMTP)
    assert isinstance(mail, EmailMessage)
    assert mail["To"] == "Dana Lindqvist <dana@home.example>"
    (part,) = [one for one in mail.walk() if one.get_content_type() == "text/calendar"]
    assert part.get_param("method") == "REQUEST"


def test_a_folder_that_cannot_be_written_is_unreachable(tmp_path: Path) -> None:
    """A value that is tried again, not an exception."""
    (tmp_path / "out").write_text("a file")
    settings = Mail(folder="out", sender="care@mercy.example")
    assert put(PLAIN, tmp_path / "out", settings).failure == "unreachable"
