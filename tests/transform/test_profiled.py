"""A mapping whose dialect names a profile must be able to make what that profile requires."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.fhir.profiles import load_profiles
from engine.transform.load import load_folder

from makings import HEAD, mapping, under, write  # isort: skip

PROFILES = Path(__file__).resolve().parents[2] / "profiles"
URL = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-careteam"
PROFILED = HEAD.replace("resource: CareTeam}", f"resource: CareTeam, profile: {URL}}}", 1)
PIECES = under(
    """
    fields:
      role: {drop: written as text}
      member: copy
      onBehalfOf: copy
      period: copy
    """
)
ROLES = "canonical_only: {'participant[].role': {drop: written as text}}\n"


def _said(root: Path, text: str) -> list[str]:
    profiles, _ = load_profiles([PROFILES])
    folder = load_folder(write(root, {"home/careteam.yaml": text}), profiles)
    return [f"{one.code} {one.message}" for one in folder.problems]


def test_what_the_profile_requires_and_nothing_makes_is_refused(tmp_path: Path) -> None:
    """FHIR lets a team be without subject, the profile does not: a mapping must make one."""
    text = mapping({"subject": "carry"}, PROFILED, "canonical_only: {subject: carry}\n")
    (said,) = _said(tmp_path, text)
    assert said == "M013 The profile requires 'subject', and to_dialect nothing produces it."


def test_inside_what_is_made_in_pieces_it_is_looked_for_too(tmp_path: Path) -> None:
    """An inner element that the profile requires must be made where the outer one is."""
    text = mapping({"participant": None, "participant[]": PIECES}, PROFILED, ROLES)
    (said,) = _said(tmp_path, text)
    assert "'participant.role'" in said


@pytest.mark.parametrize(
    ("changes", "head", "tail"),
    [
        ({}, PROFILED, ""),
        ({"participant": None, "participant[]": PIECES}, HEAD, ROLES),
        (
            {"subject": "carry"},
            PROFILED,
            "canonical_only: {subject: carry}\n"
            "defaults: {to_dialect: {subject: {display: unknown}}}\n",
        ),
    ],
    ids=["copied whole", "no profile named", "made by a default"],
)
def test_what_is_made_or_not_required_passes(
    changes: dict[str, str | None], head: str, tail: str, tmp_path: Path
) -> None:
    """An element copied whole, one that a default writes, and a mapping without profile pass."""
    assert _said(tmp_path, mapping(changes, head, tail)) == []
