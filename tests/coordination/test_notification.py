"""Members hear that care is coordinated: who, in which language, once a day, under consent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from happenings import (
    EVERYBODY,
    HAPPENINGS,
    begin,
    new_member_of_the_team,
    new_plan,
    notices,
    plan,
    put,
    records_asked,
    words,
)
from happenings import THROUGH_PORTAL as SETTINGS
from valley import Valley, introduction, own_id, valley

from engine.coordination.notification_templates import load_templates
from engine.samples.guide import REVIEWED

ADULT = {"birthDate": "1980-03-01"}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Valley]:
    """Return a valley with a portal, in which nothing was told yet."""
    with valley(tmp_path, SETTINGS) as built:
        yield built


@pytest.mark.parametrize("event", HAPPENINGS)
def test_without_consent_nobody_hears_anything(place: Valley, event: str) -> None:
    """Without a release nothing goes to the family either, whatever happens."""
    begin(place)
    place.permit(*EVERYBODY, status="inactive", dateTime="2026-04-02T09:00:00Z")
    if event in ("records-released", "first-outreach"):
        place.wait(2)
    else:
        HAPPENINGS[event][0](place)
    assert notices(place) == []


def test_a_revoked_release_ends_notices(place: Valley) -> None:
    """A notice that is ready when the release ends is refused, on record."""
    begin(place)
    place.permit(*EVERYBODY, status="inactive", dateTime="2026-04-02T09:00:00Z")
    new_plan(place)
    assert notices(place) == []
    assert "notice.refused" in place.kinds("notice.")


def test_records_reviewed_at_once_are_told_of(place: Valley) -> None:
    """An answer is told of although its review came before anybody looked at the answer."""
    begin(place)
    records_asked(place)
    asked = next(one.resource for one in place.deliver(100) if one.system == "mercy")
    place.wait(2)
    place.deliver(100)
    for system, change in (
        ("mercy", {"status": "completed"}),
        ("hub", {"businessStatus": REVIEWED}),
    ):
        told = place.send(system, "PUT", f"/fhir/{own_id(asked)}", {**asked, **change})
        assert told.status_code in (200, 201), told.text
        asked = next((one.resource for one in place.deliver(100) if one.system == "hub"), asked)
    (notice,) = notices(place)
    assert "sent the records" in words(notice)


def test_an_adult_hears_in_their_own_language(place: Valley) -> None:
    """An adult without representative is told, in the preferred language where it is known."""
    spanish = {"coding": [{"system": "urn:ietf:bcp:47", "code": "es-MX"}]}
    begin(
        place,
        guardian=False,
        communication=[{"language": spanish, "preferred": True}],
        **ADULT,
    )
    new_plan(place)
    (notice,) = notices(place)
    assert notice["recipient"][0]["reference"].startswith("Patient/")
    assert notice["language"] == "es"
    assert "plan de atención" in words(notice)


def test_a_language_without_templates_falls_back(place: Valley) -> None:
    """Who speaks another language gets the configured one."""
    begin(
        place, guardian=False, communication=[{"language": {"coding": [{"code": "so"}]}}], **ADULT
    )
    new_plan(place)
    assert [one["language"] for one in notices(place)] == ["en"]


def test_an_adult_with_a_guardian_hears_through_them(place: Valley) -> None:
    """Who has a representative is told through the representative."""
    begin(place, **ADULT)
    new_plan(place)
    (notice,) = notices(place)
    assert notice["recipient"][0]["reference"].startswith("RelatedPerson/")


def test_a_minor_without_a_guardian_on_record_is_not_written_to(place: Valley) -> None:
    """Where nobody with authority is known, nobody is told, and the ledger says so."""
    begin(place, consent=False, guardian=False)
    new_plan(place)
    assert notices(place) == []
    assert "notice.withheld" in place.kinds("notice.")


SENSITIVE = [
    {"meta": {"security": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode",
                            "code": "STD"}]}},
    {"meta": {"security": [{"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality",
                            "code": "R"}]}},
]  # fmt: skip


@pytest.mark.parametrize("label", SENSITIVE, ids=["sensitivity", "restricted"])
@pytest.mark.parametrize("age", [{}, ADULT], ids=["minor", "adult"])
def test_confidential_services_of_a_minor_are_not_reported(
    place: Valley, label: dict[str, Any], age: dict[str, Any]
) -> None:
    """The guardian of a minor does not hear of a labelled plan; of an adult's it is as usual."""
    begin(place, **age)
    put(place, plan(**label))
    told = notices(place)
    if age:
        assert len(told) == 1
    else:
        assert told == []
        put(place, plan("q"))
        place.wait(1.5)
        assert words(notices(place)[-1]).count("plan of care") == 1


def test_one_notice_a_day(place: Valley) -> None:
    """What happens after today's notice waits for the next day's, together."""
    begin(place)
    new_plan(place)
    assert len(notices(place)) == 1
    put(place, plan("second"))
    new_member_of_the_team(place)
    assert notices(place) == []
    place.wait(1.5)
    (notice,) = notices(place)
    assert "plan of care" in words(notice)
    assert "joined the care team" in words(notice)
    place.wait(3)
    assert notices(place) == []


def test_a_waiting_notice_survives_restart_and_clock(tmp_path: Path) -> None:
    """The next day's notice goes out once after a restart, also where the clock was set back."""
    with valley(tmp_path, SETTINGS) as place:
        begin(place)
        new_plan(place)
        notices(place)
        put(place, plan("second"))
        instant = place.clock.time()
    with valley(tmp_path, SETTINGS) as place:
        place.clock.advance(instant - place.clock.time() + 1.5 * 86_400)
        assert len(notices(place)) == 1
        place.clock.step(-86_400)
        assert notices(place) == []
        place.wait(3)
        assert notices(place) == []


def test_an_event_after_the_clock_was_set_back_is_told(place: Valley) -> None:
    """Today's and tomorrow's notices have gone out: the next day's tells what happens now."""
    begin(place)
    new_plan(place)
    put(place, plan("second"))
    place.wait(1.5)
    assert len(notices(place)) == 2
    place.clock.step(-86_400)
    put(place, plan("third"))
    assert notices(place) == []
    place.wait(5)
    assert len(notices(place)) == 1


def test_many_events_of_one_kind_do_not_hide_another(place: Valley) -> None:
    """After two dozen plans a new member of the team is told of all the same."""
    begin(place)
    new_plan(place)
    notices(place)
    for number in range(24):
        put(place, plan(f"plan-{number}"))
    new_member_of_the_team(place)
    place.wait(1.5)
    (notice,) = notices(place)
    assert "joined the care team" in words(notice)


@pytest.mark.parametrize("died", [{"deceasedBoolean": True}, {"deceasedDateTime": "2026-04-20"}])
def test_who_has_died_is_not_written_to(place: Valley, died: dict[str, Any]) -> None:
    """However the record says that a member has died, no notice goes to them."""
    begin(place, guardian=False, **died, **ADULT)
    new_plan(place)
    assert notices(place) == []


def test_what_is_released_later_tells_nothing_else_of_its_message_again(place: Valley) -> None:
    """A plan was told of on its day: days later only what was held beside it is news."""
    begin(place)
    held = {
        "resourceType": "Communication",
        "id": "held",
        "status": "completed",
        "subject": {"reference": "Patient/avery"},
        "recipient": [{"reference": "Organization/late"}],
        "payload": [{"contentString": "Shall we talk?"}],
    }
    entries = [
        {"resource": one, "request": {"method": "PUT", "url": own_id(one)}}
        for one in (plan(), held)
    ]
    place.post("mercy", {"resourceType": "Bundle", "type": "batch", "entry": entries})
    assert "plan of care" in words(*notices(place))
    place.wait(3)
    clinic = next(
        entry["resource"]
        for entry in introduction()["entry"]
        if entry["resource"]["id"] == "clinic"
    )
    put(place, {**clinic, "id": "late"})
    (notice,) = notices(place)
    assert "for the first time" in words(notice)
    assert "plan of care" not in words(notice)


def test_the_same_plan_again_is_no_event(place: Valley) -> None:
    """A plan that comes again as it was, or a draft, is not worth a notice."""
    begin(place)
    put(place, plan(status="draft"))
    assert notices(place) == []


def test_without_the_section_nobody_is_notified(tmp_path: Path) -> None:
    """Who does not configure notices sends none."""
    with valley(tmp_path) as place:
        begin(place)
        new_plan(place)
        assert notices(place) == []


def test_what_is_filled_in_is_not_read_as_a_template(repository: Path) -> None:
    """Braces and markup in a name stay what they are."""
    templates, problems = load_templates(repository / "mappings" / "notifications")
    assert problems == []
    assert templates is not None
    hostile = "{events} <script> \u202e"
    text = templates.render("notice", "en", {"events": "- x", "organization": hostile})
    assert text.endswith(f"please call {hostile}.")


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("en: 'On {date}'\n", ["G010"]),
        ("en: 'On {dat}'\nes: 'El {date}'\n", ["G012"]),
        ("en: '{date.year}'\nes: '{date}'\n", ["G012"]),
        ("en: 'open { brace'\nes: 'x'\n", ["G012"]),
        ("- en\n", ["G011"]),
        ("en: 3\nes: x\n", ["G011", "G010"]),
    ],
)
def test_a_template_that_is_wrong_is_refused(
    repository: Path, tmp_path: Path, text: str, codes: list[str]
) -> None:
    """An unknown placeholder, a missing language and a wrong shape are each said with the place."""
    for file in (repository / "mappings" / "notifications").glob("*.yaml"):
        (tmp_path / file.name).write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "plan-changed.yaml").write_text(text)
    templates, problems = load_templates(tmp_path)
    assert templates is None
    assert [one.code for one in problems] == codes
    assert all(one.place is not None for one in problems)


def test_a_missing_template_is_said(tmp_path: Path) -> None:
    """Each template that is not there is named."""
    _, problems = load_templates(tmp_path)
    assert {one.code for one in problems} == {"G010"}
    assert len(problems) == 6


PHONE = """  media: {phone: {owner: {name: Front desk, system: "urn:test", value: "9"}}}
  notifications: {}"""


@pytest.mark.parametrize("consent", [True, False], ids=["consent", "no consent"])
def test_without_a_portal_a_notice_goes_by_the_preferred_medium(
    tmp_path: Path, consent: bool
) -> None:
    """A guardian with a telephone number gets a call under consent, and none without; no system."""
    with valley(tmp_path, PHONE) as place:
        begin(place)
        dana = next(
            entry["resource"]
            for entry in introduction()["entry"]
            if entry["resource"]["resourceType"] == "RelatedPerson"
        )
        put(place, {**dana, "telecom": [{"system": "phone", "value": "+1 555 010 2030"}]})
        if not consent:
            place.permit(*EVERYBODY, status="inactive", dateTime="2026-04-02T09:00:00Z")
        place.wait(2)
        place.deliver(200)
        place.arrived.clear()
        before = set(calls(place))
        new_plan(place)
        place.timers()
        left = [one for one in place.deliver(200) if one.resource["resourceType"] != "CarePlan"]
        assert left == []
        states = [state for id, state in calls(place).items() if id not in before]
        assert [state for state in states if state != "held"] == (["delivered"] if consent else [])


def calls(place: Valley) -> dict[str, str]:
    """Return the state of every call that was planned."""
    rows = place.store.read(lambda tx: tx.deliveries.search(limit=1000))
    return {row.id: row.state for row in rows if row.destination == "@phone"}
