"""What is put on record stands under the member that it is about, as its own words say."""

from __future__ import annotations

import json
from pathlib import Path

from town import town

from engine.fhir.json import loads
from engine.road.identify import member_of
from engine.samples.bundles import names, sample


def test_every_resource_on_record_stands_under_the_member_that_it_names(tmp_path: Path) -> None:
    """The member that the road found for a resource is the one that the kept version names."""
    told: list[tuple[str | None, str | None]] = []
    with town(tmp_path) as place:
        for name in names():
            answer = place.send("mercy", "POST", "/fhir", sample(name)).json()
            said = [entry["response"] for entry in answer.get("entry", ())]
            for location in [one["location"] for one in said if "location" in one]:
                kind, id = location.split("/")
                row = place.store.read(lambda tx, kind=kind, id=id: tx.resources.get(kind, id))
                if row is not None:
                    told.append((row.member, member_of(loads(row.body))))
    assert len({member for member, _ in told}) > 1
    assert all(stands == named for stands, named in told), json.dumps(told)
