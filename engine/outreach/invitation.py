"""The invitation to a meeting: an iCalendar request that mail clients can accept (RFC 5546)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from icalendar import Calendar, Event, vCalAddress, vText

from engine.outreach.dispatch import Dispatch, name

SUMMARY = "Coordination of care"
"""What stands in calendars, which others may see: it names neither member nor matter."""


def invitation(dispatch: Dispatch, *, organizer: str, minutes: int, place: str | None) -> bytes:
    """Return the calendar file of a meeting; its UID is the same at every attempt.

    The words of the Communication are not in it: calendars are shared more widely than mail.
    """
    start = datetime.fromisoformat(dispatch.meeting).astimezone(UTC).replace(microsecond=0)
    event = Event()
    event.add("uid", f"{dispatch.key}@{organizer.rpartition('@')[2]}")
    event.add("dtstamp", datetime.fromisoformat(dispatch.at).astimezone(UTC).replace(microsecond=0))
    event.add("dtstart", start)
    event.add("dtend", start + timedelta(minutes=minutes))
    event.add("summary", SUMMARY)
    event.add("sequence", 0)
    event.add("status", "CONFIRMED")
    event.add("class", "PRIVATE")
    if place:
        event.add("location", name(place))
    event["organizer"] = _person(organizer, dispatch.sender)
    event.add("attendee", _attendee(dispatch), encode=False)
    calendar = Calendar()
    calendar.add("prodid", "-//Carelane//Coordination of care//EN")
    calendar.add("version", "2.0")
    calendar.add("method", "REQUEST")
    calendar.add_component(event)
    return bytes(calendar.to_ical())


def _person(address: str, shown: str) -> vCalAddress:
    person = vCalAddress(f"mailto:{address}")
    person.params["CN"] = vText(_plain(shown) or address)
    return person


def _attendee(dispatch: Dispatch) -> vCalAddress:
    person = _person(dispatch.address, dispatch.to)
    for parameter, value in (
        ("ROLE", "REQ-PARTICIPANT"),
        ("PARTSTAT", "NEEDS-ACTION"),
        ("RSVP", "TRUE"),
        ("CUTYPE", "INDIVIDUAL"),
    ):
        person.params[parameter] = vText(value)
    return person


def _plain(text: str) -> str:
    """Return a name without what ends a parameter (RFC 5545 section 3.2)."""
    return name(text).replace('"', "'")
