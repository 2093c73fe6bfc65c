"""What a function says quickly of values is what its halves would make of them."""

from __future__ import annotations

from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.transform.functions import Pair, _never
from engine.transform.registry import ADDED, FUNCTIONS

from makings import adapter, mapping  # isort: skip

SETTLED = {name: pair for name, pair in FUNCTIONS.items() if pair.settled is not _never}
"""The functions that tell of values that they are settled; most never do."""
WANTED = {"system": "http://a.example", "code": "assess-plan"}
CONCEPTS = st.sampled_from(
    [
        {"coding": [WANTED]},
        {"coding": [{"code": "other"}, {**WANTED, "display": "a"}], "text": "a"},
        {"coding": [{"code": "assess-plan"}]},
        {"extension": [{"url": ADDED, "valueBoolean": True}], "coding": [WANTED]},
        {"extension": [{"url": "http://a.example/note"}], "coding": [WANTED]},
        {"text": "a"},
    ]
)
VALUES = st.fixed_dictionaries(
    {}, optional={"category": st.lists(CONCEPTS, max_size=3), "_category": st.just([None])}
)


@pytest.mark.parametrize("pair", SETTLED.values(), ids=SETTLED)
def test_settled_values_stay_as_they_are_both_ways(pair: Pair) -> None:
    """Where values are settled neither half changes them; no function is content too easily."""
    settled = 0

    @settings(max_examples=200, deadline=None)
    @given(values=VALUES)
    def check(values: dict[str, Any]) -> None:
        nonlocal settled
        if pair.settled(values, WANTED):
            assert pair.to_canonical(values, WANTED) == values
            assert pair.to_dialect(values, WANTED) == values
            settled += 1

    check()
    assert settled


@pytest.mark.parametrize("pair", FUNCTIONS.values(), ids=FUNCTIONS)
def test_no_half_changes_what_it_is_given(pair: Pair) -> None:
    """What an adapter made is taken to be as it was where it is the very object that was given."""

    @settings(max_examples=50, deadline=None)
    @given(values=VALUES)
    def check(values: dict[str, Any]) -> None:
        before = deepcopy(values)
        for half in (pair.to_canonical, pair.to_dialect):
            with suppress(TypeError, AttributeError, KeyError, ValueError, IndexError):
                half(values, WANTED)
            assert values == before

    check()


def test_a_coding_that_is_there_needs_nothing() -> None:
    """The usual list, with its coding and nothing added, is settled; without it, it is not."""
    settled = FUNCTIONS["ensure-coding"].settled
    assert settled({"category": [{"coding": [WANTED]}]}, WANTED)
    assert not settled({"category": [{"text": "a"}]}, WANTED)
    assert not settled({"category": []}, WANTED)
    assert not settled({}, WANTED)


def test_what_is_absent_beside_settled_values_is_not_settled(tmp_path: Path) -> None:
    """A function that is asked also where nothing is answers for each of its elements."""
    said = ", ".join(f'{name}: "{value}"' for name, value in WANTED.items())
    ends = "with: [reasonCode], to: [category, reasonCode]"
    rule = f"{{function: ensure-coding, arguments: {{{said}}}, {ends}}}"
    made = adapter(tmp_path, mapping({"category": rule, "reasonCode": None}))
    result = made.to_dialect({"resourceType": "CareTeam", "category": [{"coding": [WANTED]}]})
    assert result.resource is not None
    assert result.resource["category"] == [{"coding": [WANTED]}]
    assert [one["coding"] for one in result.resource["reasonCode"]] == [[WANTED]]
