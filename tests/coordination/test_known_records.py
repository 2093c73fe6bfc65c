"""A member's record is made once, and made anew as soon as anything that it rests on changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from review_rig import Rig, patient, plan, rig, seat, team

from engine.coordination.member_record import MemberRecord, known_record, record_of
from engine.coordination.studies import Studies
from engine.fhir.json import dumps
from engine.project import Project
from engine.store import Store, Transaction
from engine.transform.crosswalk import reference_key

RAMAN = {
    "resourceType": "Practitioner",
    "id": "raman",
    "identifier": [{"system": "http://hl7.org/fhir/sid/us-npi", "value": "1234567893"}],
    "name": [{"family": "Raman", "given": ["Priya"]}],
}
OTHER = [{"system": "http://mercy.example/numbers", "value": "the-other"}]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Rig]:
    """Return a rig with the girl's plan, and her team with a doctor."""
    with rig(tmp_path) as built:
        built.tell("mercy", patient("mercy"), RAMAN, plan("a"))
        built.tell("mercy", team(seat("Practitioner/raman", "309343006", "Physician")))
        built.clock.advance(1)
        yield built


def member(place: Rig) -> str:
    """Return the canonical id of the girl."""
    return place.store.read(lambda tx: tx.resources.of_type("Patient")[0].id)


def made(place: Rig, tx: Transaction, project: Project | None = None) -> MemberRecord:
    """Return the record as reviews get it; it reads as if it were read for the first time."""
    asked = (tx, project or place.project, member(place))
    known = known_record(*asked, tx.recall.beside(Studies))
    assert known == record_of(*asked)
    return known


def reviewed(place: Rig) -> MemberRecord:
    """Return the record as a review gets it in a transaction of its own."""
    return place.store.write(lambda tx: made(place, tx)).result(30)


def test_a_record_is_made_once_while_nothing_changes(place: Rig) -> None:
    """Whoever reviews next gets the very same record."""
    assert reviewed(place) is reviewed(place)


def test_a_person_who_changes_is_read_anew(place: Rig) -> None:
    """The doctor is no resource about the girl: the count of changes to people tells of her."""
    reviewed(place)
    place.tell("mercy", RAMAN | {"name": [{"family": "Raman-Iyer"}]})
    named = [one["name"][0]["family"] for one in reviewed(place).people if "name" in one]
    assert "Raman-Iyer" in named


def test_a_person_whom_another_process_changes_is_read_anew(place: Rig, tmp_path: Path) -> None:
    """Also where this process was never told of it."""
    reviewed(place)
    (row,) = place.store.read(lambda tx: tx.resources.of_type("Practitioner"))
    body = row.body.replace(b"Raman", b"Raman-Iyer")
    with Store.open(f"sqlite:///{tmp_path / 'carelane.db'}", clock=place.clock) as other:
        other.write(
            lambda tx: tx.resources.put(row.type, row.id, body, member=None, system="mercy")
        ).result(30)
    place.clock.advance(1)
    assert "Raman-Iyer" in dumps(reviewed(place).people).decode()


def test_a_person_whom_the_same_transaction_changes_is_read_anew(place: Rig) -> None:
    """What is written but not yet durable counts for who reviews behind it, and is not kept."""
    before = reviewed(place)
    (row,) = place.store.read(lambda tx: tx.resources.of_type("Practitioner"))
    body = row.body.replace(b"Raman", b"Raman-Iyer")

    def taken_back(tx: Transaction) -> None:
        tx.resources.put(row.type, row.id, body, member=None, system="mercy")
        assert "Raman-Iyer" in dumps(made(place, tx).people).decode()
        raise ValueError("taken back")

    with pytest.raises(ValueError, match="taken back"):
        place.store.write(taken_back).result(30)
    assert reviewed(place) == before


def test_who_turns_out_to_be_somebody_else_is_named_so(place: Rig) -> None:
    """Two records of the doctor are merged: the plans and teams name the one that stayed."""
    place.tell("lakeside", RAMAN | {"id": "praman", "identifier": OTHER})
    before = reviewed(place)
    one, two = place.store.read(lambda tx: [row.id for row in tx.resources.of_type("Practitioner")])
    (goes,) = {one, two} & {person["id"] for person in before.people}
    place.store.write(lambda tx: tx.crosswalk.merge(one if goes == two else two, goes)).result(30)
    assert goes not in {person["id"] for person in reviewed(place).people}


def test_what_is_known_later_under_an_absolute_name_is_named_so(place: Rig) -> None:
    """A plan names a goal by its sender's URL until a link says who that is."""
    place.tell("mercy", plan("b", basedOn=[{"reference": "CarePlan/not-here-yet"}]))
    place.clock.advance(1)
    assert "http://mercy.example/fhir/CarePlan/not-here-yet" in _based_on(reviewed(place))
    key = reference_key("mercy", "CarePlan/not-here-yet")
    place.store.write(lambda tx: tx.crosswalk.link({key: "now-here"}, source="mercy")).result(30)
    assert "CarePlan/now-here" in _based_on(reviewed(place))


def _based_on(record: MemberRecord) -> set[str]:
    plans = record.of("CarePlan")
    return {one["reference"] for plan in plans for one in plan.get("basedOn", ())}


def test_another_project_reads_a_record_anew(place: Rig) -> None:
    """The systems and their addresses may not be what they were."""
    before = reviewed(place)
    now = replace(place.project)
    after = place.store.write(lambda tx: made(place, tx, now)).result(30)
    assert after is not before
    assert after == before
