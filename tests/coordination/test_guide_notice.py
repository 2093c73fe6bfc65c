"""The guide, fourth sentence: notify member and guardian that coordination is occurring."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from happenings import EVERYBODY, HAPPENINGS, THROUGH_PORTAL, begin, notices, words
from valley import Valley, valley

AT_FIRST = ("records-requested", "new-team-member", "plan-changed")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Valley]:
    """Return a valley with a portal, in which nothing was told yet."""
    with valley(tmp_path, THROUGH_PORTAL) as built:
        yield built


@pytest.mark.parametrize("event", HAPPENINGS)
def test_the_guardian_is_notified_of_each_event(place: Valley, event: str) -> None:
    """First outreach, new team member, records requested, records released, plan changed."""
    begin(place)
    act, said = HAPPENINGS[event]
    act(place)
    told = notices(place)
    assert said in words(told[-1])
    dana = place.entity("RelatedPerson/dana", "mercy")
    assert [one["recipient"][0]["reference"] for one in told] == [f"RelatedPerson/{dana}"]
    assert place.project.check_dialect(told[-1], "us-core") == []


@pytest.mark.parametrize("event", HAPPENINGS)
def test_the_adult_member_is_notified_of_each_event(place: Valley, event: str) -> None:
    """Who acts for themselves hears it themselves, of every event."""
    begin(place, guardian=False, birthDate="1980-03-01")
    act, said = HAPPENINGS[event]
    act(place)
    told = notices(place)
    assert said in words(told[-1])
    avery = place.entity("Patient/avery", "mercy")
    assert {one["recipient"][0]["reference"] for one in told} == {f"Patient/{avery}"}


@pytest.mark.parametrize("event", HAPPENINGS)
def test_a_notice_is_itself_under_the_rules(place: Valley, event: str) -> None:
    """What happens under a release that ends before the notice leaves is told to nobody."""
    begin(place)
    HAPPENINGS[event][0](place)
    place.permit(*EVERYBODY, status="inactive", dateTime="2026-04-02T09:00:00Z")
    assert notices(place) == []
