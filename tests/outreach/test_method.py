"""A medium is chosen by what a recipient can receive, wants, needs and may be told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.outreach.method import (
    OBSTACLES,
    REASONS,
    Choice,
    Party,
    Point,
    Wish,
    choose,
    usable,
)

EVERY = frozenset({"fhir", "fax", "mail", "phone", "meeting"})
PHONE = Point("phone", "+1 515 555 0117")
FAX = Point("fax", "+1 515 555 0199")
MAIL = Point("email", "dana@home.example")


def chosen(party: Party, **more: object) -> Choice:
    given: dict[str, object] = {"offered": EVERY, "allowed": EVERY} | more
    return choose(party, **given)  # type: ignore[arg-type]


def media(choice: Choice) -> list[str]:
    return [str(choice.medium), *(way.medium for way in choice.fallbacks)]


def person(*points: Point, **more: object) -> Party:
    return Party("RelatedPerson", None, points, **more)  # type: ignore[arg-type]


def test_a_system_that_receives_fhir_gets_fhir() -> None:
    """The recipient's own system comes before every telecom address."""
    choice = chosen(Party("Organization", "hub", (FAX, MAIL)))
    assert (choice.medium, choice.address) == ("fhir", "hub")
    assert choice.reason == REASONS["system"]
    assert media(choice) == ["fhir", "fax", "mail", "meeting"]


def test_an_organization_without_a_system_gets_a_fax() -> None:
    """Where nobody said anything, care providers get a fax first, people a mail."""
    assert media(chosen(Party("Organization", None, (MAIL, FAX))))[0] == "fax"
    assert media(chosen(person(MAIL, PHONE, FAX))) == ["mail", "phone", "fax", "meeting"]


def test_rank_decides_among_addresses() -> None:
    """A ContactPoint of rank 1 is tried first, the next ranks in their order."""
    ranked = [Point("phone", "5550117", 1), Point("fax", "5550199", 3), Point("email", "a@b.ex", 2)]
    choice = chosen(person(*ranked))
    assert choice.reason == REASONS["ranked"]
    assert media(choice)[:3] == ["phone", "mail", "fax"]


def test_an_old_address_is_no_address() -> None:
    """A ContactPoint with use `old` is never used."""
    choice = chosen(person(Point("phone", "5550117", 1, "old")))
    assert choice.medium is None
    assert choice.address is None


def test_the_preferences_table_beats_everything_but_what_it_avoids() -> None:
    """The table's order comes first, before a system's FHIR endpoint; what it avoids never goes."""
    party = Party("Organization", "hub", (FAX, PHONE, MAIL))
    choice = chosen(party, wish=Wish(("phone", "fax"), frozenset({"mail"})))
    assert choice.reason == REASONS["table"]
    assert media(choice)[:3] == ["phone", "fax", "fhir"]
    assert "mail" not in media(choice)
    assert dict(choice.passed_over)["mail"] == OBSTACLES["avoided"]


def test_the_record_of_the_recipient_is_followed() -> None:
    """A stated preference wins over ranks, and an ability that is missing rules a medium out."""
    stated = chosen(person(Point("phone", "5550117", 1), MAIL, prefers=("mail",)))
    assert (stated.medium, stated.reason) == ("mail", REASONS["stated"])
    deaf = chosen(person(PHONE, MAIL, avoids=frozenset({"phone"})), urgency="stat")
    assert deaf.medium == "mail"
    assert "phone" not in media(deaf)


@pytest.mark.parametrize("urgency", ["asap", "stat"])
def test_what_is_urgent_is_said_by_phone(urgency: str) -> None:
    """An urgent message is not left in a mailbox where somebody can be called."""
    choice = chosen(person(MAIL, PHONE), urgency=urgency)
    assert (choice.medium, choice.reason) == ("phone", REASONS["urgent"])


def test_who_speaks_another_language_is_written_to() -> None:
    """Where nobody who calls speaks the language, written media come first, also when urgent."""
    choice = chosen(person(PHONE, MAIL, understood=False), urgency="stat")
    assert (choice.medium, choice.reason) == ("mail", REASONS["language"])
    assert "phone" in media(choice)


def test_the_senders_wish_counts_last() -> None:
    """Communication.medium decides where the recipient has said nothing."""
    assert chosen(person(MAIL, PHONE), asked=("meeting",)).medium == "meeting"
    assert chosen(person(Point("email", "a@b.ex", 1), PHONE), asked=("meeting",)).medium == "mail"


def test_without_a_permit_no_medium_is_open() -> None:
    """Where consent allows nothing there is no choice at all, and the reason says so."""
    choice = chosen(Party("Organization", "hub", (FAX, MAIL, PHONE)), allowed=frozenset())
    assert choice.medium is None
    assert choice.fallbacks == ()
    assert set(dict(choice.passed_over).values()) == {OBSTACLES["denied"]}


def test_restricted_content_goes_to_nobody_elses_address() -> None:
    """A guardian's address stands in for a minor's own, but not for restricted content."""
    party = Party("Patient", None, (Point("phone", "5550117", theirs=False),))
    assert chosen(party).medium == "phone"
    assert chosen(party, restricted=True).medium is None


@pytest.mark.parametrize(
    ("system", "value"),
    [
        ("email", "a@b.example\r\nBcc: all@evil.example"),
        ("email", "a@b.example, c@d.example"),
        ("email", "<a@b.example>"),
        ("email", "a@" + "b" * 300 + ".example"),
        ("email", '"x y"@b.example'),
        ("fax", "../../etc/passwd"),
        ("fax", "555 0199\r\nX: y"),
        ("fax", "5" * 60),
        ("fax", "12"),
        ("phone", "call me; rm -rf /"),
        ("phone", ""),
    ],
)
def test_an_address_that_could_do_harm_is_no_address(system: str, value: str) -> None:
    """Headers, lists, paths, commands and absurd lengths never become an address."""
    assert usable(Point(system, value)) is None
    assert chosen(person(Point(system, value))).medium is None


@given(st.text(max_size=200))
def test_a_usable_address_is_plain(value: str) -> None:
    """Whatever stands on record, what is used has no space, control character or quote."""
    for system in ("email", "fax", "phone"):
        address = usable(Point(system, value))
        assert address is None or (address.isascii() and address.isprintable())
        assert address is None or not set(address) & set(' <>",;:\\/()')


_points = st.lists(
    st.builds(
        Point,
        st.sampled_from(["phone", "fax", "email", "sms", "url"]),
        st.sampled_from(["5550117", "5550199", "a@b.example", "nonsense"]),
        st.one_of(st.none(), st.integers(1, 4)),
        st.sampled_from([None, "home", "work", "old", "mobile"]),
    ),
    max_size=5,
)
_some = st.frozensets(st.sampled_from(sorted(EVERY)))


@given(_points, _some, _some, _some, st.sampled_from(["routine", "urgent", "asap", "stat"]))
def test_no_choice_ever_leaves_what_is_offered_and_allowed(
    points: list[Point],
    offered: frozenset[str],
    allowed: frozenset[str],
    avoided: frozenset[str],
    urgency: str,
) -> None:
    """Medium and fallbacks are set up, allowed and not avoided, whatever else is said."""
    party = Party("Practitioner", "hub", tuple(points), ("fax",), frozenset())
    choice = choose(
        party, offered=offered, allowed=allowed, urgency=urgency, wish=Wish(("mail",), avoided)
    )
    used = set(media(choice)) - {"None"}
    assert used <= (offered & allowed) - avoided
    assert used.isdisjoint(dict(choice.passed_over))
    assert used | set(dict(choice.passed_over)) == EVERY
