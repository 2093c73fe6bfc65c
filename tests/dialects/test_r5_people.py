"""People, organizations and what is contained pass between R4 and R5, on the road as well."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from shipped_adapters import shipped_adapters
from town import REPOSITORY, Town, environment

from engine.diagnostics import has_errors
from engine.project import load
from engine.samples.bundles import sample
from engine.store import Store
from engine.testing import ManualClock
from engine.transform.adapter import Adapter
from engine.validate import validate

Tree = dict[str, Any]
CONTAINED = {"resourceType": "Practitioner", "id": "p", "name": [{"family": "Reyes"}]}


def _r5(kind: str) -> Adapter:
    return shipped_adapters().mapped["r5", kind]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Town]:
    """Return an engine whose plan speaks R5."""
    text = (REPOSITORY / "config.yaml").read_text().replace("dialect: hrex", "dialect: r5")
    for name in ("mappings", "profiles", "rules"):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    (tmp_path / "config.yaml").write_text(text)
    project = load(tmp_path / "config.yaml", environment("sqlite:///unused.db"))
    clock = ManualClock()
    with Store.open(f"sqlite:///{tmp_path / 'x.db'}", clock=clock) as store:
        yield Town(project, store, clock)


def test_who_is_who_reaches_an_r5_system(place: Town) -> None:
    """Members, relatives, staff and organizations of an R4 sender arrive as valid R5."""
    assert place.send("mercy", "POST", "/fhir", sample("01-who-is-who")).status_code == 200
    arrived = place.deliver(200)
    kinds = {one.resource["resourceType"] for one in arrived}
    assert {"Patient", "RelatedPerson", "Practitioner", "PractitionerRole", "Organization"} <= kinds
    for one in arrived:
        assert not has_errors(validate(one.resource, "R5")), one.resource


def test_an_r5_organization_reaches_an_r4_system(place: Town) -> None:
    """What an R5 system says of an organization arrives where R4 has it."""
    body = json.loads((REPOSITORY / "mappings/r5/samples/organization.json").read_text())
    del body["partOf"], body["endpoint"]
    told = place.post("hub", body)
    assert told.status_code == 201, told.text
    (one,) = place.deliver()
    assert one.system == "mercy"
    assert one.resource["telecom"][0]["value"] == "+1 555 0158"
    assert not has_errors(validate(one.resource, "R4"))


@pytest.mark.parametrize("said", [{"deceasedBoolean": False}, {"deceasedDateTime": "2026"}])
def test_each_variant_of_a_choice_comes_back_from_its_extension(said: Tree) -> None:
    """Variants that share one cross-version extension come back as the one that went."""
    source = {"resourceType": "Practitioner", **said}
    gone = _r5("Practitioner").to_canonical(source).resource
    assert gone is not None
    assert "deceasedBoolean" not in gone
    assert _r5("Practitioner").to_dialect(gone).resource == source


@pytest.mark.parametrize(
    "told",
    [
        {"communication": [{"language": {"text": "Spanish"}, "preferred": True}]},
        {"photo": [{"size": "12", "height": 3}]},
        {"deceasedBoolean": True},
    ],
)
def test_what_is_contained_is_adapted_too(told: Tree) -> None:
    """A contained resource takes the form of the other version and comes back as it was."""
    source = {
        "resourceType": "CareTeam",
        "contained": [{**CONTAINED, **told}],
        "participant": [{"member": {"reference": "#p"}}],
    }
    gone = _r5("CareTeam").to_canonical(source)
    assert gone.resource is not None
    assert not has_errors(validate(gone.resource, "R4"))
    assert gone.resource["contained"][0] != source["contained"][0]
    assert _r5("CareTeam").to_dialect(gone.resource).resource == source


def test_what_is_contained_in_canonical_is_adapted_too() -> None:
    """The same from the other side: contained R4 becomes valid R5, and comes back."""
    source = {
        "resourceType": "CareTeam",
        "contained": [{**CONTAINED, "communication": [{"text": "Spanish"}]}],
        "participant": [{"member": {"reference": "#p"}}],
    }
    gone = _r5("CareTeam").to_dialect(source).resource
    assert gone is not None
    assert not has_errors(validate(gone, "R5"))
    assert gone["contained"][0]["communication"] == [{"language": {"text": "Spanish"}}]
    assert _r5("CareTeam").to_canonical(gone).resource == source


def test_what_a_mapping_refuses_in_a_contained_resource_has_its_path() -> None:
    """A contained Task that must not be done stops the message, by the path inside."""
    task = {
        "resourceType": "Task",
        "id": "t",
        "status": "requested",
        "intent": "order",
        "doNotPerform": True,
    }
    result = _r5("CareTeam").to_canonical({"resourceType": "CareTeam", "contained": [task]})
    assert result.resource is None
    (problem,) = [one for one in result.diagnostics if has_errors([one])]
    assert (problem.code, problem.path) == ("T019", "CareTeam.contained[0].doNotPerform")


def test_contained_r5_without_a_mapping_is_refused_by_path(place: Town) -> None:
    """Where no mapping knows the contained type, what R4 does not have stops the message."""
    location = {"resourceType": "Location", "id": "l", "form": {"text": "house"}}
    body = {"resourceType": "Organization", "name": "Elm", "contained": [location]}
    body["extension"] = [{"url": "http://a.example/at", "valueReference": {"reference": "#l"}}]
    told = place.post("hub", body)
    assert told.status_code == 422
    assert "contained[0].form" in told.text
