"""A changed value is what `dataclasses.replace` would make, and the old one stays as it was."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import pytest

from engine.changing import changed
from engine.message import Unit
from engine.road.facts import Facts


def test_a_changed_value_equals_a_replaced_one() -> None:
    """Unit and Facts come out equal to what the standard library makes, and are frozen."""
    unit = Unit(0, "CarePlan", "CarePlan", {"resourceType": "CarePlan"})
    facts = Facts("2026-05-01T10:00:00Z")
    named = changed(unit, entity="a", notes=())
    assert named == replace(unit, entity="a", notes=())
    assert changed(facts, local={"a": "b"}) == replace(facts, local={"a": "b"})
    assert unit.entity == ""
    with pytest.raises(FrozenInstanceError):
        named.entity = "b"  # type: ignore[misc]


def test_a_field_that_does_not_exist_is_refused() -> None:
    """A misspelt field raises TypeError, as it does with the standard library."""
    with pytest.raises(TypeError, match="entitty"):
        changed(Unit(0, "CarePlan", "CarePlan", {}), entitty="a")
