"""What is read around a message is kept for the next as long as it is little."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from town import Town, town

from engine.fhir.json import dumps
from engine.gather import gather, gather_canonical
from engine.message import Unit
from engine.store import Transaction


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Town]:
    with town(tmp_path) as built:
        yield built


@pytest.mark.parametrize(("people", "is_kept"), [(3, True), (500, False)])
def test_only_what_is_around_few_people_is_kept(place: Town, people: int, is_kept: bool) -> None:
    """A sender who names people by the hundred cannot fill the memory of the writer."""
    named = [{"reference": f"Practitioner/{index}"} for index in range(people)]
    team = Unit(0, "CareTeam", "CareTeam", {"resourceType": "CareTeam", "managing": named})

    def gathered(tx: Transaction) -> bool:
        gather(tx, place.project, "mercy", [team], at=tx.now)
        return any(name[0] == "around" for name in tx.recall.joint if isinstance(name, tuple))

    assert place.store.write(gathered).result() is is_kept


def test_an_organization_is_followed_up_all_levels(place: Town) -> None:
    """What a deny names nine levels up is known to stand above who is told."""
    told = {"resourceType": "Communication", "id": "note"}

    def found(tx: Transaction) -> set[str]:
        for level in range(9):
            body = {"partOf": {"reference": f"Organization/level{level + 1}"}}
            organization = {"resourceType": "Organization", "id": f"level{level}", **body}
            name = "Organization", f"level{level}"
            tx.resources.put(*name, dumps(organization), member=None, system="mercy")
        canonical = {**told, "recipient": [{"reference": "Organization/level0"}]}
        return set(gather_canonical(tx, place.project, canonical, at=tx.now).supporting)

    assert place.store.write(found).result() >= {f"Organization/level{level}" for level in range(9)}


def test_a_large_group_keeps_no_organization_out(place: Town) -> None:
    """Who stands above whom is read however many members of a group are on record."""

    def put(tx: Transaction, type_name: str, id: str, **body: Any) -> str:
        resource = {"resourceType": type_name, "id": id, **body}
        tx.resources.put(type_name, id, dumps(resource), member=None, system="mercy")
        return f"{type_name}/{id}"

    def found(tx: Transaction) -> set[str]:
        doctors = [put(tx, "Practitioner", f"doctor{number}") for number in range(700)]
        group = put(tx, "Group", "all", member=[{"entity": {"reference": one}} for one in doctors])
        for level in range(5):
            above = {"reference": f"Organization/level{level + 1}"}
            put(tx, "Organization", f"level{level}", partOf=above)
        people = [{"reference": "Organization/level0"}, {"reference": group}]
        canonical = {"resourceType": "Communication", "id": "note", "recipient": people}
        return set(gather_canonical(tx, place.project, canonical, at=tx.now).supporting)

    read = place.store.write(found).result()
    assert read >= {f"Organization/level{level}" for level in range(5)}
    assert sum(name.startswith("Practitioner/") for name in read) == 500
