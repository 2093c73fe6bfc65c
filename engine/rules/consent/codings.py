"""Codes as keys that can be compared: one spelling per system, well-known systems filled in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
OBSERVATION_VALUE = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue"
RESOURCE_TYPES = "http://hl7.org/fhir/resource-types"
CONSENT_ACTION = "http://terminology.hl7.org/CodeSystem/consentaction"
CONSENT_SCOPE = "http://terminology.hl7.org/CodeSystem/consentscope"
CONSENT_CATEGORY = "http://terminology.hl7.org/CodeSystem/consentcategorycodes"
NATIONAL_PROVIDER = "http://hl7.org/fhir/sid/us-npi"

_SPELLINGS: Mapping[str, str] = MappingProxyType(
    {
        "http://hl7.org/fhir/v3/ActReason": ACT_REASON,
        "urn:oid:2.16.840.1.113883.5.8": ACT_REASON,
        "http://terminology.hl7.org/ValueSet/v3-PurposeOfUse": ACT_REASON,
        "http://hl7.org/fhir/ValueSet/v3-PurposeOfUse": ACT_REASON,
        "http://hl7.org/fhir/v3/ActCode": ACT_CODE,
        "urn:oid:2.16.840.1.113883.5.4": ACT_CODE,
        "http://hl7.org/fhir/v3/Confidentiality": CONFIDENTIALITY,
        "urn:oid:2.16.840.1.113883.5.25": CONFIDENTIALITY,
        "http://hl7.org/fhir/v3/ObservationValue": OBSERVATION_VALUE,
        "http://hl7.org/fhir/fhir-types": RESOURCE_TYPES,
        "http://hl7.org/fhir/ValueSet/resource-types": RESOURCE_TYPES,
        "http://hl7.org/fhir/ValueSet/defined-types": RESOURCE_TYPES,
        "http://hl7.org/fhir/consentaction": CONSENT_ACTION,
        "http://hl7.org/fhir/consentscope": CONSENT_SCOPE,
        "http://hl7.org/fhir/consentcategorycodes": CONSENT_CATEGORY,
        "urn:oid:2.16.840.1.113883.4.6": NATIONAL_PROVIDER,
    }
)


class Key(NamedTuple):
    """Identify a code: its system in one spelling ("" where none is known) and the code."""

    system: str
    code: str


Concept = frozenset[Key]
"""One meaning in several codings: any of them may match. Empty where it has only words."""


@lru_cache(maxsize=4096)
def spelling(system: str) -> str:
    """Return the one spelling of a code or identifier system (`https` and old names differ)."""
    plain = system.strip().rstrip("/")
    if plain.startswith("https://"):
        plain = "http://" + plain[8:]
    return _SPELLINGS.get(plain, plain)


def key_of(coding: Any, known: str = "") -> Key | None:
    """Return the key of a Coding, or of a text (`CODE`, `system#CODE`, `system|CODE`).

    A coding without system belongs to `known`, the system that its element is known to use;
    where the element has none, it equals only another coding without system.
    """
    if isinstance(coding, str):
        return _key_of_text(coding.strip(), known)
    if not isinstance(coding, dict):
        return None
    system, code = coding.get("system"), coding.get("code")
    if not isinstance(code, str):
        return None
    return _key(system if isinstance(system, str) else "", code, known)


@lru_cache(maxsize=8192)
def _key(system: str, code: str, known: str) -> Key | None:
    plain = code.strip()
    return Key(spelling(system) if system else known, plain) if plain else None


def _key_of_text(text: str, known: str) -> Key | None:
    for mark in ("|", "#"):
        system, found, code = text.rpartition(mark)
        if found and code:
            return Key(spelling(system) if system else known, code)
    return Key(known, text) if text else None


def concept_of(given: Any, known: str = "") -> Concept:
    """Return the keys of a CodeableConcept, a Coding or a text; empty where none can be read."""
    if isinstance(given, dict):
        if "coding" in given:
            keys = [key_of(coding, known) for coding in listed(given["coding"])]
            return frozenset([key for key in keys if key])
        if isinstance(given.get("concept"), dict):
            return concept_of(given["concept"], known)
    key = key_of(given, known)
    return frozenset((key,)) if key else frozenset()


def concepts_of(given: Any, known: str = "") -> tuple[Concept, ...]:
    """Return one Concept per entry of a list (or of a single value)."""
    return tuple([concept_of(entry, known) for entry in listed(given)])


def listed(given: Any) -> Sequence[Any]:
    """Return a list as it is, nothing as an empty one, anything else as a list of one."""
    if given is None:
        return ()
    return given if isinstance(given, list | tuple) else (given,)


def mappings(given: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the entries of a list (or a single value) that are objects."""
    return (entry for entry in listed(given) if isinstance(entry, dict))
