"""The derived schema says what HL7's own StructureDefinitions say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.fhir.schema import schema
from engine.fhir.value_sets import ValueSets

KNOWN_DIFFERENCES = {
    ("Task.input.valueCode", "codes"): "the choice is bound to nothing; only its type is code",
    ("Task.output.valueCode", "codes"): "the choice is bound to nothing; only its type is code",
}
"""Every known difference between schema and StructureDefinitions, with its reason."""

Fact = tuple[str, str, Any, Any]


def _base(shared: Path) -> list[dict[str, Any]]:
    files = sorted((shared / "ig" / "base-r4").glob("StructureDefinition-*.json"))
    return [json.loads(file.read_bytes()) for file in files]


def _variants(element: dict[str, Any], name: str) -> dict[str, str]:
    if "contentReference" in element:
        return {name: element["contentReference"].removeprefix("#")}
    codes = [kind["code"] for kind in element["type"]]
    if name.endswith("[x]"):
        return {name[:-3] + code[0].upper() + code[1:]: code for code in codes}
    return {name: codes[0]}


def _type(element: dict[str, Any], code: str) -> str:
    if code.startswith("http://hl7.org/fhirpath/System."):
        at_top = element["path"].count(".") == 1
        return "id" if at_top else "string"
    return str(element["path"]) if code in ("BackboneElement", "Element") else code


def _facts(definition: dict[str, Any], sets: ValueSets) -> Iterator[Fact]:
    """Yield path, what is compared, what HL7 says, what the schema says."""
    known = schema("R4")
    listed: dict[str, set[str]] = {}
    for element in definition["snapshot"]["element"][1:]:
        parent, name = element["path"].rsplit(".", 1)
        for variant, code in _variants(element, name).items():
            listed.setdefault(parent, set()).add(variant)
            path = f"{parent}.{variant}"
            ours = known.type(parent).elements.get(variant)
            yield path, "exists", True, ours is not None
            if ours is None:
                continue
            yield path, "type", _type(element, code), ours.type
            yield path, "list", element["max"] != "1", ours.is_list
            yield path, "required", element["min"] > 0, ours.required
            yield path, "targets", _targets(element, code), set(ours.targets)
            if code == "code":
                yield path, "codes", *_codes(element, ours.codes, sets)
    for parent, names in listed.items():
        yield parent, "elements", names, set(known.type(parent).elements)


def _targets(element: dict[str, Any], code: str) -> set[str]:
    if code not in ("Reference", "canonical"):
        return set()
    kinds = [kind for kind in element["type"] if kind["code"] == code]
    return {url.rsplit("/", 1)[-1] for kind in kinds for url in kind.get("targetProfile", ())}


def _codes(
    element: dict[str, Any], ours: frozenset[str] | None, sets: ValueSets
) -> tuple[Any, Any]:
    binding = element.get("binding")
    if not binding or binding["strength"] != "required":
        return None, ours
    pairs = sets.codes(binding["valueSet"])
    return ({code for _, code in pairs} if pairs else "required"), ours


def _value_sets(shared: Path) -> ValueSets:
    sets = ValueSets()
    for file in (shared / "ig" / "base-r4" / "terminology").glob("*.json"):
        sets.add(json.loads(file.read_bytes()))
    return sets


def test_schema_and_structure_definitions_agree(shared: Path) -> None:
    """Names, types, cardinalities, targets and required codes are those of HL7, but for a table."""
    sets = _value_sets(shared)
    differences = {}
    compared = 0
    for definition in _base(shared):
        for path, what, theirs, ours in _facts(definition, sets):
            compared += 1
            agree = bool(ours) if theirs == "required" and what == "codes" else theirs == ours
            if not agree:
                differences[path, what] = (theirs, ours)
    print(f"compared {compared} facts of {len(_base(shared))} StructureDefinitions")
    assert compared > 3000
    assert differences.keys() <= KNOWN_DIFFERENCES.keys(), differences


@pytest.mark.parametrize("version", ["R4", "R5"])
def test_every_type_can_be_derived(version: Any) -> None:
    """Every resource and complex type has elements whose own types exist."""
    known = schema(version)
    assert {"CareTeam", "CarePlan", "Consent", "Communication", "Bundle"} <= known.resources
    for name in sorted(known.types):
        for element in known.type(name).elements.values():
            assert known.has(element.type), (name, element)


def test_r4_leaves_out_what_only_r4b_has() -> None:
    """Types and elements that came with R4B are no part of R4."""
    known = schema("R4")
    assert not known.has("SubscriptionTopic")
    assert "valueCodeableReference" not in known.type("Extension").elements


def test_paths_reach_through_datatypes_and_back_into_backbones() -> None:
    """An element is found through complex types and through content references."""
    known = schema("R4")
    start = known.element("CareTeam.period.start")
    nested = known.element("Consent.provision.provision.provision.type")
    assert start is not None
    assert start.type == "dateTime"
    assert nested is not None
    assert nested.codes == {"deny", "permit"}
    assert known.element("CareTeam.participants") is None
    assert known.element("CareTeam.name.text") is None
    with pytest.raises(KeyError):
        known.type("Nothing")
    with pytest.raises(KeyError):
        known.type("CareTeam.nothing")


def test_the_versions_differ_where_fhir_does() -> None:
    """R4 and R5 are kept apart: Consent.scope went, Consent.decision came."""
    assert schema("R4").element("Consent.scope")
    assert not schema("R5").element("Consent.scope")
    assert schema("R5").element("Consent.decision")
    assert "CarePlan.activity.detail" not in schema("R5").type("CarePlan.activity").elements
