"""What is read once for many decisions answers as if it were read anew each time."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from msgspec.structs import replace
from worlds import MOMENTS, REASON, WORLDS, World

from engine.fhir.dates import moment
from engine.rules.consent.codings import listed
from engine.rules.consent.criteria import Content, Stated
from engine.rules.consent.directory import Directories, Directory
from engine.rules.consent.parties import NOBODY, name_of
from engine.rules.consent.policy import Policy
from engine.rules.consent.question import read_request
from engine.rules.request import asked_about, question_about
from engine.rules.sensitivity import read_table
from engine.rules.told import told_by

MERCY = {"reference": "Organization/mercy", "identifier": {"system": "urn:npi", "value": "1"}}
HUB = {"type": "Organization", "identifier": {"system": "urn:npi", "value": "2"}}
TABLE = read_table()[0]


def silent(directory: Directory) -> Content:
    return Stated()


@settings(max_examples=500)
@given(WORLDS)
def test_a_question_is_the_same_whether_written_down_or_not(make: World) -> None:
    """What the road asks equals what is read from the request that says the same in JSON."""
    people = make.people()
    told = told_by(make.message(), [*people, make.condition("1")], table=TABLE)
    policy = Policy(unlabelled=make.one("withhold", "pass"))
    given: dict[str, Any] = {
        "sender_system": MERCY,
        "recipient_systems": [HUB],
        "purpose": [{"system": REASON, "code": "COC"}],
    }
    straight = asked_about(told, **given, policy=policy)
    written = read_request(question_about(told, **given), policy)
    directory = Directory(people, (0, 1), "UTC")
    assert directory.person(straight.patient) == directory.person(written.patient)
    content, read = straight.content(directory), written.content(directory)
    for name in Stated.__struct_fields__:
        assert getattr(content, name) == getattr(read, name), name
    alike: dict[str, Any] = {"stated": {}, "content": silent, "patient": NOBODY}
    assert replace(straight, **alike) == replace(written, **alike)
    for name, said in straight.stated.items():
        if name == "patient" and said:
            assert said.get("reference") == written.stated[name].get("reference")
            continue
        assert list(listed(said)) == list(listed(written.stated.get(name)))


@settings(max_examples=500)
@given(WORLDS)
def test_labels_known_ahead_are_those_of_the_parts(make: World) -> None:
    """What is told of labels before the parts are worked out is what the parts bear."""
    told = told_by(make.message(), [make.condition("1")], table=TABLE)
    assert told.labels == {part.path: part.labels for part in told.parts}


def seen(directory: Directory) -> list[Any]:
    """Return everything that a directory tells of everybody."""
    kinds = ("Patient", "Organization", "Practitioner", "PractitionerRole", "Group")
    names = [name_of({"reference": f"{kind}/{id}"}) for kind in kinds for id in ("1", "2")]
    found: list[Any] = []
    for name in names:
        found += [directory.party(name), directory.person(name), directory.same(name)]
        found += [directory.members(name.keys, strict=strict) for strict in (True, False)]
    return found


@settings(max_examples=500)
@given(WORLDS)
def test_a_kept_directory_answers_like_a_fresh_one_at_any_moment(make: World) -> None:
    """A role that began or a membership that ended between two decisions is seen by the second."""
    people, kept = make.people(), Directories()
    for _ in range(6):
        at = moment(make.one(*MOMENTS))
        assert at is not None
        assert seen(kept.of(people, at, "UTC")) == seen(Directory(people, at, "UTC"))


def test_a_resource_written_anew_makes_another_directory() -> None:
    """The same people in the same words, but other objects, are read again."""
    at, kept = moment(MOMENTS[0]), Directories()
    assert at is not None
    people = [{"resourceType": "Patient", "id": "1"}]
    assert kept.of(people, at, "UTC") is kept.of(list(people), at, "UTC")
    assert kept.of(people, at, "UTC") is not kept.of([dict(people[0])], at, "UTC")


def test_directories_are_kept_within_bounds() -> None:
    """However many sets of people are asked about, only so many resources are held."""
    at, kept = moment(MOMENTS[0]), Directories(most=10)
    assert at is not None
    people = [{"resourceType": "Patient", "id": str(number)} for number in range(40)]
    first = kept.of(people[:4], at, "UTC")
    for number in range(4, 40, 4):
        kept.of(people[number : number + 4], at, "UTC")
    assert kept.of(people[:4], at, "UTC") is not first
