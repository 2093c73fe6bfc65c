"""What stands in a cross-version extension becomes an element whole, or stays where it is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from engine.transform.adapter import Adapter
from engine.transform.load import load_folder
from engine.transform.references import Crosswalk, Reference, Unresolved

MAPPINGS = Path(__file__).resolve().parents[2] / "mappings"
ENCOUNTER = "http://hl7.org/fhir/4.0/StructureDefinition/extension-CareTeam.encounter"
VISIT = {"url": ENCOUNTER, "valueReference": {"reference": "Encounter/1"}}
POLICY = "http://hl7.org/fhir/4.0/StructureDefinition/extension-Consent.policy"
BY_URI = {"url": "uri", "valueUri": "http://a.example/policy"}
BY_AUTHORITY = {"url": "authority", "valueUri": "http://a.example"}


@dataclass(frozen=True, slots=True)
class _Renaming(Crosswalk):
    """A crosswalk that knows every reference by another name."""

    def to_canonical(self, reference: Reference, targets: frozenset[str]) -> Reference | Unresolved:
        return {**reference, "reference": f"{reference['reference']}-here"}


@cache
def _adapter(name: str) -> Adapter:
    loaded = load_folder(MAPPINGS).mappings[name]
    assert loaded.plan is not None
    return Adapter(loaded, loaded.plan)


@pytest.mark.parametrize(
    "extensions",
    [
        [VISIT, VISIT],
        [{**VISIT, "id": "a"}],
        [{"url": ENCOUNTER, "valueString": "the visit"}],
        [{"url": ENCOUNTER, "extension": [{"url": "why", "valueString": "x"}]}],
        [{**VISIT, "extension": [{"valueString": "x"}]}],
    ],
    ids=["twice", "with an id", "of another type", "in parts", "with a part without url"],
)
def test_an_extension_that_says_more_than_its_element_stays(
    extensions: list[dict[str, Any]],
) -> None:
    """Nothing of it is lost: it goes there and back as an extension."""
    team = {"resourceType": "CareTeam", "extension": extensions}
    there = _adapter("r5/careteam").to_canonical(team).resource
    assert there == team
    assert _adapter("r5/careteam").to_dialect(there).resource == team


@pytest.mark.parametrize(
    "parts",
    [
        [{"url": "colour", "valueString": "blue"}],
        [BY_URI, {"url": "extension", "valueString": "x"}],
        [BY_URI, BY_URI],
    ],
    ids=["unknown part", "misshapen part", "part twice"],
)
def test_parts_that_the_element_does_not_have_are_not_lost(parts: list[dict[str, Any]]) -> None:
    """An extension in parts is read only where each part has an element."""
    given = [{"url": POLICY, "extension": parts}]
    consent = {"resourceType": "Consent", "status": "active", "extension": given}
    there = _adapter("r5/consent").to_canonical(consent).resource
    assert there is not None
    assert "policy" not in there
    assert given[0] in there["extension"]


def test_parts_are_read_in_any_order() -> None:
    """Who wrote the extension chose the order of its parts."""
    given = [{"url": POLICY, "extension": [BY_URI, BY_AUTHORITY]}]
    consent = {"resourceType": "Consent", "status": "active", "extension": given}
    there = _adapter("r5/consent").to_canonical(consent).resource
    assert there is not None
    assert there["policy"] == [{"uri": "http://a.example/policy", "authority": "http://a.example"}]


def test_a_reference_in_a_cross_version_extension_goes_through_the_crosswalk() -> None:
    """The element that is read from it names what it is called on this side."""
    team = {"resourceType": "CareTeam", "extension": [VISIT]}
    result = _adapter("r5/careteam").to_canonical(team, _Renaming())
    assert result.resource is not None
    assert result.resource["encounter"] == {"reference": "Encounter/1-here"}
