"""What points at a unit is worked out once, and says what asking each time would say."""

from __future__ import annotations

from typing import Any

import pytest

from engine.message import Unit
from engine.road.facts import Facts
from engine.road.identify import identify_units, own_keys, with_keys
from engine.transform.crosswalk import Links, Naming, reference_key

MRN = "http://mrn.example"
NAMING = Naming(frozenset({MRN}), {"mercy": "https://mercy.example/fhir"})
KNOWN = Facts("2026-05-01T10:00:00Z", Links({reference_key("mercy", "Patient/1"): "entity"}))


def unit(full_url: str | None = None, **parts: Any) -> Unit:
    return Unit(0, "Patient", "Patient", {"resourceType": "Patient", **parts}, full_url)


@pytest.mark.parametrize(
    "one",
    [
        pytest.param(unit(id="1"), id="known by its id"),
        pytest.param(unit(id="2", identifier=[{"system": MRN, "value": "A"}]), id="new"),
        pytest.param(unit("urn:uuid:1", identifier=[{"value": "A"}]), id="by its fullUrl"),
        pytest.param(unit(id=7, identifier="A"), id="by nothing that can be read"),
    ],
)
def test_a_unit_is_identified_by_its_keys_as_without_them(one: Unit) -> None:
    """Whether the keys were worked out before or not, the unit is the same entity by them."""
    (known,) = with_keys([one], "mercy", NAMING)
    assert known.keys is not None
    assert list(own_keys(known, "mercy", NAMING)) == list(own_keys(one, "mercy", NAMING))
    before = identify_units([known], "mercy", NAMING, KNOWN)
    anew = identify_units([one], "mercy", NAMING, KNOWN)
    assert before.units[0].unit.entity == anew.units[0].unit.entity
    assert (before.local, before.links) == (anew.local, anew.links)
