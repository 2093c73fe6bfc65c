"""Single values that R5 and R4 write differently: text of a message, long numbers, dates."""

from __future__ import annotations

from engine.fhir.references import split_reference
from engine.transform.functions import Arguments, Pair, Values

ABSENT = {
    "extension": [
        {
            "url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason",
            "valueCode": "unknown",
        }
    ]
}
UNSUPPORTED = {
    "extension": [
        {
            "url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason",
            "valueCode": "unsupported",
        }
    ]
}
LARGEST = 2_147_483_647
"""The largest unsignedInt of R4."""


def concept_to_string(values: Values, arguments: Arguments) -> Values:
    """Take the text of the concept, else what its first coding shows, else say it is unknown."""
    concept = values.get("contentCodeableConcept")
    if concept is None:
        return {}
    shown = [coding.get("display") or coding.get("code") for coding in concept.get("coding", [])]
    text = concept.get("text") or next((name for name in shown if name), None)
    found = {"contentString": text} if text else {}
    beside = concept.get("_text") or (None if text else ABSENT)
    return {**found, "_contentString": beside} if beside else found


def string_to_concept(values: Values, arguments: Arguments) -> Values:
    """Put the string into the text of a concept."""
    names = {"contentString": "text", "_contentString": "_text"}
    concept = {names[name]: value for name, value in values.items()}
    return {"contentCodeableConcept": concept} if concept else {}


def long_to_int(values: Values, arguments: Arguments) -> Values:
    """Read an integer64, which R5 writes as text; one too long for R4 stays away."""
    return {name: _as_int(value) for name, value in values.items() if _as_int(value) is not None}


def _as_int(value: object) -> object:
    if isinstance(value, str):
        value = int(value) if value.isdecimal() and len(value) < 20 else None
    return value if isinstance(value, int) and 0 <= value <= LARGEST else None


def int_to_long(values: Values, arguments: Arguments) -> Values:
    """Write a whole number as R5 writes an integer64: as text."""
    return {name: str(v) if isinstance(v, int) else v for name, v in values.items()}


def date_to_time(values: Values, arguments: Arguments) -> Values:
    """Take an R5 date as the R4 dateTime, which may be as short."""
    names = {"date": "dateTime", "_date": "_dateTime"}
    return {names[name]: value for name, value in values.items()}


def time_to_date(values: Values, arguments: Arguments) -> Values:
    """Keep the date of an R4 dateTime; the time is remembered by the adapter."""
    names = {"dateTime": "date", "_dateTime": "_date"}
    return {names[n]: v[:10] if isinstance(v, str) else v for n, v in values.items()}


def within_types(values: Values, arguments: Arguments) -> Values:
    """Keep the references to types that R4 allows here; the others are remembered."""
    items = values.get(arguments["from"], [])
    kept = [item for item in items if _type_of(item) in {None, *arguments["types"].split(" ")}]
    return {arguments["to"]: kept} if kept else {}


def of_any_type(values: Values, arguments: Arguments) -> Values:
    """Name the references as R5 does, where more types are allowed."""
    items = next(iter(values.values()), None)
    return {} if items is None else {arguments["from"]: items}


def concept_of(values: Values, arguments: Arguments) -> Values:
    """Take the concept of a CodeableReference; what stands beside it is remembered."""
    return {name: item["concept"] for name, item in values.items() if "concept" in item}


def with_concept(values: Values, arguments: Arguments) -> Values:
    """Put a CodeableConcept into a CodeableReference."""
    return {name: {"concept": item} for name, item in values.items()}


def text_or_absent(values: Values, arguments: Arguments) -> Values:
    """Keep a text; of any other value say that it is absent: the other version lacks its type."""
    text = {name: value for name, value in values.items() if name.endswith("valueString")}
    if text == {"_valueString": UNSUPPORTED}:
        return {}
    return text or ({"_valueString": UNSUPPORTED} if values else {})


def _type_of(reference: Values) -> str | None:
    named = split_reference(reference.get("reference", ""))
    return named[0] if named else reference.get("type")


PAIRS = (
    Pair(
        "concept-text",
        "The CodeableConcept of an R5 payload; the string of an R4 payload.",
        concept_to_string,
        string_to_concept,
    ),
    Pair(
        "integer64",
        "A whole number that R5 writes as text and R4 as a number.",
        long_to_int,
        int_to_long,
    ),
    Pair(
        "date-of-consent",
        "The date of an R5 Consent; the dateTime of an R4 Consent.",
        date_to_time,
        time_to_date,
    ),
    Pair(
        "concept-of",
        "A CodeableReference of R5 of which R4 takes the concept only.",
        concept_of,
        with_concept,
    ),
    Pair(
        "value-of-any-type",
        "A text; a value of a type that the other version lacks stands as an absent text there "
        "(data-absent-reason: unsupported), and comes back from what is remembered.",
        text_or_absent,
        text_or_absent,
    ),
    Pair(
        "references-within",
        "A list of references, `from` in R5, `to` in R4, of which R4 takes `types` only.",
        within_types,
        of_any_type,
        needs=("from", "to", "types"),
    ),
)
"""The function pairs of this module."""
