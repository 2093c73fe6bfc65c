"""Code tables, row by row, against the code systems, sets and maps of the reference material."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from engine import document

TABLES = Path(__file__).resolve().parents[2] / "mappings" / "tables"
SNOMED = "http://snomed.info/sct"
NUCC = "http://nucc.org/provider-taxonomy"
TERMINOLOGY = "http://terminology.hl7.org/CodeSystem/"

FORMER = {
    "http://hl7.org/fhir/communication-category": TERMINOLOGY + "communication-category",
    "http://hl7.org/fhir/communication-not-done-reason": TERMINOLOGY
    + "communication-not-done-reason",
    "http://hl7.org/fhir/consent-scope": TERMINOLOGY + "consentscope",
    "http://hl7.org/fhir/consentcategorycodes": TERMINOLOGY + "consentcategorycodes",
    "http://hl7.org/fhir/consentpolicycodes": TERMINOLOGY + "consentpolicycodes",
    "http://hl7.org/fhir/v3/ActCode": TERMINOLOGY + "v3-ActCode",
    "http://hl7.org/fhir/v3/ActReason": TERMINOLOGY + "v3-ActReason",
    "http://hl7.org/fhir/v3/ParticipationMode": TERMINOLOGY + "v3-ParticipationMode",
    "urn:oid:2.16.840.1.113883.5.8": TERMINOLOGY + "v3-ActReason",
}
"""Systems that are an earlier address of a code system: checked under the address of today."""

UNLISTED = {
    "http://hl7.org/fhir/care-team-category": "code system of FHIR before R4, not in the material",
    "http://hl7.org/fhir/contact-point-system": "the material has no terminology of ContactPoint",
    "urn:oid:2.16.840.1.113883.3.18.7.1": "purpose of use of the nationwide network, not FHIR's",
}
"""Systems of which the material lists nothing."""

TAXONOMY = "a specialization of NUCC; HRex's map lists base codes only; read in public NUCC lists"
PERSON = "a SNOMED CT person concept outside the care team role value set; read in public lists"
EXCEPTIONS = {
    **dict.fromkeys(
        [
            *("101YA0400X", "103TC0700X", "163WP0808X", "163WS0200X", "207RA0401X", "207RC0000X"),
            *("207RE0101X", "207RG0100X", "207RG0300X", "207RH0000X", "207RI0200X", "207RN0300X"),
            *("207RP1001X", "207RR0500X", "2084A0401X", "2084P0804X", "363LP0808X"),
        ],
        TAXONOMY,
    ),
    **dict.fromkeys(
        [
            *("125677006", "127848009", "127849001", "127850001", "27733009", "375005"),
            *("40683002", "66089001", "66839005", "67822003", "70924004", "72705000"),
        ],
        PERSON,
    ),
}
"""Codes that the material does not list, with the reason why they are in a table all the same."""

WRONG_IN_HREX = {
    ("172V00000X", "23278007"): "a community health worker is no physician",
    ("237700000X", "159026005"): "a hearing instrument specialist is no speech therapist",
    ("159014000", "247100000X"): "a trainee pharmacist is no radiologic technologist",
    ("251B00000X", "768832004"): "an agency is no person",
    ("251S00000X", "23278007"): "an agency is no physician",
}


class Row(NamedTuple):
    """One row of a table, with the place where it stands."""

    place: str
    dialect: tuple[str, str]
    canonical: tuple[str, str]
    display: tuple[str, str]
    relationship: str


def _csv_rows(path: Path) -> Iterator[Row]:
    with path.open(newline="", encoding="utf-8") as file:
        for number, row in enumerate(csv.DictReader(file), start=2):
            yield Row(
                f"{path.name}:{number}",
                (row["dialect_system"], row["dialect"]),
                (row["canonical_system"], row["canonical"]),
                (row["dialect_display"], row["canonical_display"]),
                row["relationship"] or "equivalent",
            )


ROWS = [row for path in sorted(TABLES.glob("*.csv")) for row in _csv_rows(path)]
ROLES = [row for row in ROWS if row.place.startswith("careteam-role.csv")]


@cache
def _material(shared: Path) -> dict[str, dict[str, str]]:
    """Return display by code by system, of all that the reference material lists."""
    found: dict[str, dict[str, str]] = {}
    for path in sorted((shared / "ig").rglob("*.json")):
        tree = json.loads(path.read_text(encoding="utf-8"))
        for system, code, display in _codes(tree if isinstance(tree, dict) else {}):
            found.setdefault(system, {}).setdefault(code, display)
    return found


def _codes(tree: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    kind = tree.get("resourceType")
    if kind == "CodeSystem":
        yield from _concepts(tree["url"], tree.get("concept", []))
    elif kind == "ValueSet":
        for include in tree.get("compose", {}).get("include", []):
            yield from _concepts(include.get("system", ""), include.get("concept", []))
            for rule in include.get("filter", []):
                yield include["system"], rule["value"], ""
    elif kind == "ConceptMap":
        for group in tree["group"]:
            yield from _concepts(group["source"], group["element"])
            for element in group["element"]:
                yield from _concepts(group["target"], element.get("target", []))


def _concepts(system: str, concepts: list[dict[str, Any]]) -> Iterator[tuple[str, str, str]]:
    for concept in concepts:
        if "code" in concept:
            yield system, concept["code"], concept.get("display", "")
        yield from _concepts(system, concept.get("concept", []))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.place}")
def test_both_codes_of_a_row_exist(row: Row, shared: Path) -> None:
    """Each code of a row stands in the reference material, or in the list of exceptions."""
    roles = (shared / "terminology" / "care-roles.json").read_text(encoding="utf-8")
    for system, code in (row.dialect, row.canonical):
        if system in UNLISTED or code in EXCEPTIONS:
            continue
        listed = _material(shared).get(FORMER.get(system, system), {})
        assert code in listed or code in roles, f"{row.place}: {system} has no {code}"


def test_each_exception_is_needed(shared: Path) -> None:
    """No code stays in the list of exceptions once the material lists it or no table has it."""
    used = {code for row in ROWS for _, code in (row.dialect, row.canonical)}
    listed = {**_material(shared).get(SNOMED, {}), **_material(shared).get(NUCC, {})}
    assert not EXCEPTIONS.keys() - used
    assert not EXCEPTIONS.keys() & listed.keys()


@pytest.mark.parametrize("row", ROLES, ids=lambda row: f"{row.place}")
def test_a_role_is_called_what_the_material_calls_it(row: Row, shared: Path) -> None:
    """The display of a role agrees with the reference material, so no code is another's."""
    for (system, code), display in zip((row.dialect, row.canonical), row.display, strict=True):
        known = _material(shared).get(system, {}).get(code, "")
        assert not known or display.split(" (")[0].lower() in known.lower()


def test_no_role_repeats_an_error_of_hrex() -> None:
    """The rows in which HRex's maps are wrong are not in our table."""
    pairs = {(row.dialect[1], row.canonical[1]) for row in ROLES}
    assert not pairs & WRONG_IN_HREX.keys()
    assert not {(canonical, dialect) for dialect, canonical in pairs} & WRONG_IN_HREX.keys()


def test_roles_cover_all_six_groups() -> None:
    """Behavioral, physical, specialty, therapy, community supports and family all have roles."""
    with (TABLES / "careteam-role.csv").open(newline="", encoding="utf-8") as file:
        groups = {row["note"].split(";")[0] for row in csv.DictReader(file)}
    assert groups == {
        "behavioral health",
        "physical health",
        "specialty",
        "therapy",
        "educational and community supports",
        "family",
    }


def test_no_purpose_of_use_widens() -> None:
    """A purpose becomes an equivalent purpose or stays: a wider one would widen a permit."""
    rows = [row for row in ROWS if row.place.startswith("purpose-of-use.csv")]
    assert rows
    assert {row.relationship for row in rows} == {"equivalent"}


STATUS_SYSTEMS = {
    "task-status-hrex": ("CodeSystem-task-status.json", "CodeSystem-task-status.json"),
    "consent-status-r5": ("", "CodeSystem-consent-state-codes.json"),
    "careplan-intent-r5": ("", "CodeSystem-request-intent.json"),
}


@pytest.mark.parametrize("table", sorted(STATUS_SYSTEMS))
def test_status_tables_hold_real_codes(table: str, shared: Path) -> None:
    """Each code of a status table exists in the code system of its side."""
    node, diagnostics = document.read(TABLES / f"{table}.yaml")
    assert node is not None
    assert not diagnostics
    for side, name in zip(("dialect", "canonical"), STATUS_SYSTEMS[table], strict=True):
        if name:
            tree = json.loads((shared / "ig/base-r4/terminology" / name).read_text())
            known = {code for _, code, _ in _concepts("", tree["concept"])}
            assert {row[side] for row in node.plain()["rows"]} <= known
