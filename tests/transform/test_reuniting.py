"""What was carried for one dialect stays on record when a system of another writes anew."""

from __future__ import annotations

from typing import Any

import pytest

from engine.transform.carry import carried
from engine.transform.home import without
from engine.transform.reuniting import reunited

OURS, THEIRS = "hrex/careteam", "us-core/careteam"
COLOUR = carried(THEIRS, "dialect", "colour#unmapped", "blue")


def _team(*extensions: Any, **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"resourceType": "CareTeam", "name": "Team", **more}
    return made | {"extension": list(extensions)} if extensions else made


def test_what_another_dialect_carries_stays() -> None:
    """A new version gets it beside its own extensions, once, and loses nothing itself."""
    own = {"url": "http://a.example/x", "valueCode": "y"}
    made = reunited(_team(own, name="New"), _team(COLOUR), OURS)
    assert made == _team(own, COLOUR, name="New")
    assert reunited(made, _team(COLOUR), OURS) == made
    assert without(made) == _team(own, name="New")


@pytest.mark.parametrize(
    "before",
    [
        carried(OURS, "dialect", "note", [{"text": "x"}]),
        carried(THEIRS, "dialect", "name#default", "Team"),
        carried(THEIRS, "canonical", "note", [{"text": "x"}]),
        {"url": "http://a.example/x", "valueCode": "y"},
    ],
    ids=["its own dialect's", "mark of a default", "of the other side", "an ordinary one"],
)
def test_what_the_new_version_says_by_itself_is_not_brought_back(before: dict[str, Any]) -> None:
    """The writer's own values, marks of defaults and ordinary extensions are the new version's."""
    assert reunited(_team(), _team(before), OURS) == _team()


def test_inside_it_stays_with_what_is_the_same() -> None:
    """Items are found again by what they say, in any order; a changed one goes without."""
    nurse, cook = {"role": [{"text": "nurse"}]}, {"role": [{"text": "cook"}]}
    before = _team(participant=[{**nurse, "extension": [COLOUR]}, {**cook, "extension": [COLOUR]}])
    made = reunited(_team(participant=[{"role": [{"text": "chef"}]}, nurse]), before, OURS)
    assert made["participant"] == [
        {"role": [{"text": "chef"}]},
        {**nurse, "extension": [COLOUR]},
    ]
