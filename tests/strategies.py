"""Hypothesis strategies for FHIR resources that are valid, built from the schema."""

from __future__ import annotations

import base64
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from engine.fhir.json import Exact
from engine.fhir.schema import Element, Schema, Type, Version, schema

WORDS = (
    "a",
    "Ä",
    "0",
    "school nurse",
    "日本",
    "😀",
    'quo"te',
    "back\\slash",
    "line\nbreak",
    "{}",
    "[:]",
)
CODES = ("24484000", "LA27976-2", "COC", "a b")
URIS = ("http://snomed.info/sct", "http://loinc.org", "urn:oid:2.16.840.1", "https://a.example/x|1")
DATES = ("2026", "2026-05", "2026-05-31", "2024-02-29", "1970-01-01")
INSTANTS = ("2026-05-01T10:00:00Z", "2026-05-01T10:00:00.123456789+02:00", "2016-12-31T23:59:60Z")
DECIMALS = (Decimal("72.50"), Exact("1.0e2"), 5, -3, Decimal("0.000"))

_PRIMITIVES: dict[str, st.SearchStrategy[Any]] = {
    "base64Binary": st.binary(min_size=1, max_size=6).map(lambda b: base64.b64encode(b).decode()),
    "boolean": st.booleans(),
    "canonical": st.sampled_from(("http://a.example/fhir/Measure/1", "http://a.example/q|2.0")),
    "code": st.sampled_from(CODES),
    "date": st.sampled_from(DATES),
    "dateTime": st.sampled_from(DATES + INSTANTS),
    "decimal": st.sampled_from(DECIMALS),
    "id": st.sampled_from(("a", "A-1.b", "x" * 64)),
    "instant": st.sampled_from(INSTANTS),
    "integer": st.integers(-(2**31), 2**31 - 1),
    "integer64": st.integers(-(2**63) + 1, 2**63 - 1).map(str),
    "markdown": st.sampled_from(WORDS),
    "oid": st.just("urn:oid:2.16.840.1.113883"),
    "positiveInt": st.integers(1, 2**31 - 1),
    "string": st.sampled_from(WORDS),
    "time": st.sampled_from(("00:00:00", "23:59:60", "10:11:12.5")),
    "unsignedInt": st.integers(0, 2**31 - 1),
    "uri": st.sampled_from(URIS),
    "url": st.just("https://a.example/x"),
    "uuid": st.just("urn:uuid:c757873d-ec9a-4326-a141-556f43239520"),
    "xhtml": st.just('<div xmlns="http://www.w3.org/1999/xhtml">a {} b</div>'),
}

EXTENSION = st.sampled_from(
    (
        {"url": "http://a.example/one", "valueString": "one"},
        {"url": "http://a.example/two", "valueDecimal": Decimal("1.50")},
        {
            "url": "http://a.example/many",
            "extension": [{"url": "a", "valueCode": "b"}, {"url": "c", "valueBoolean": False}],
        },
    )
)
REFERENCES = {
    "literal": lambda kind: {"reference": f"{kind}/1"},
    "absolute": lambda kind: {"reference": f"https://a.example/fhir/{kind}/1", "type": kind},
    "logical": lambda kind: {"identifier": {"system": "http://a.example/id", "value": "1"}},
}


def resources(type: str, version: Version = "R4") -> st.SearchStrategy[dict[str, Any]]:
    """Draw valid resources of a type, sparse at depth; every reference stays outside `contained`.

    Primitive extensions, choices, required codes and lists are all drawn.
    """
    known = schema(version)
    drawn = _objects(known, known.type(type), 3)
    return drawn.map(lambda tree: {"resourceType": type, **tree})


def elements(type: str, version: Version = "R4") -> st.SearchStrategy[dict[str, Any]]:
    """Draw valid values of a complex type or backbone element, named as in the schema."""
    known = schema(version)
    return _objects(known, known.type(type), 2)


_SKIPPED = frozenset({"contained", "text", "implicitRules", "id", "modifierExtension"})
_MENDERS: dict[str, Callable[[dict[str, Any]], None]] = {}


@st.composite
def _objects(draw: st.DrawFn, known: Schema, type: Type, depth: int) -> dict[str, Any]:
    if type.name == "Extension":
        return dict(draw(EXTENSION))
    tree: dict[str, Any] = {}
    chosen: dict[str, str] = {
        choice: draw(st.sampled_from([element.name for element in variants if _cheap(element)]))
        for choice, variants in type.choices().items()
    }
    for element in type.elements.values():
        if element.choice and chosen[element.choice] != element.name:
            continue
        if element.type == "Resource" or not (element.required or _drawn(draw, element, depth)):
            continue
        _fill(draw, known, element, depth, tree)
    _mend(type, tree)
    return tree or {"extension": [dict(draw(EXTENSION))]}


def _cheap(element: Element) -> bool:
    rare = {"Dosage", "Timing", "DataRequirement", "TriggerDefinition", "Meta", "SampledData"}
    return element.type not in rare


def _drawn(draw: st.DrawFn, element: Element, depth: int) -> bool:
    if depth <= 0 or element.name in _SKIPPED or (depth < 3 and element.name == "extension"):
        return False
    return draw(st.integers(0, 2 if depth == 3 else 3)) == 0


def _fill(
    draw: st.DrawFn, known: Schema, element: Element, depth: int, tree: dict[str, Any]
) -> None:
    count = draw(st.integers(1, 2)) if element.is_list else 1
    values = [draw(_value(known, element, depth)) for _ in range(count)]
    if not element.is_primitive:
        tree[element.name] = values if element.is_list else values[0]
        return
    beside = draw(st.integers(0, 9))
    if not element.is_list:
        if beside != 1:
            tree[element.name] = values[0]
        if beside <= 1:
            tree[f"_{element.name}"] = {"extension": [dict(draw(EXTENSION))]}
        return
    siblings: list[Any] = [None] * len(values)
    if beside <= 1:
        siblings[-1] = {"id": "x", "extension": [dict(draw(EXTENSION))]}
        values[-1] = None if beside == 0 and len(values) > 1 else values[-1]
        tree[f"_{element.name}"] = siblings
    tree[element.name] = values


def _value(known: Schema, element: Element, depth: int) -> st.SearchStrategy[Any]:
    if element.codes:
        return st.sampled_from(sorted(element.codes))
    if element.is_primitive:
        return _PRIMITIVES[element.type]
    if element.type == "Reference":
        kinds = sorted(element.targets - {"Resource"}) or ["Patient"]
        return st.builds(
            lambda shape, kind: REFERENCES[shape](kind),
            st.sampled_from(sorted(REFERENCES)),
            st.sampled_from(kinds),
        )
    return _objects(known, known.type(element.type), depth - 1)


def _mend(type: Type, tree: dict[str, Any]) -> None:
    """Bring what was drawn under the invariants of the base specification."""
    name = type.name
    if name == "Period":
        for key in ("end", "_end"):
            tree.pop(key, None)
    if name == "Attachment" and ("data" in tree or "_data" in tree):
        tree.setdefault("contentType", "text/plain")
    if name == "CarePlan.activity" and "detail" in tree:
        tree.pop("reference", None)
    if name == "ContactPoint" and ("value" in tree or "_value" in tree):
        tree.setdefault("system", "phone")
    if name in {"Quantity", "Age", "Count", "Distance", "Duration"}:
        tree.setdefault("system", "http://unitsofmeasure.org")
    if name == "Patient.contact":
        tree.setdefault("name", {"text": "a"})
    if name == "Organization":
        tree.setdefault("name", "a")
    if name == "Goal.target" and any(key.strip("_").startswith("detail") for key in tree):
        tree.setdefault("measure", {"text": "a"})
    if name == "Consent" and "policyRule" in type.elements:
        tree.setdefault("policyRule", {"text": "a"})
    if name == "CareTeam.participant":
        tree.pop("onBehalfOf", None)
    if name == "Task":
        tree.pop("lastModified", None)
        tree.pop("_lastModified", None)
