"""Diagnostic codes of the validate room."""

from __future__ import annotations

from engine.codes import Code

CODES: tuple[Code, ...] = (
    Code(
        "V001",
        "An element is unknown",
        "structure",
        "The type has no element of this name in this FHIR version. Names are case-sensitive; what "
        "FHIR does not foresee travels in an `extension`.",
    ),
    Code(
        "V002",
        "A required element is missing",
        "required",
        "The specification asks for at least one value here. Where the value is not known, a "
        "primitive element may carry an extension that says why (`_status`).",
    ),
    Code(
        "V003",
        "An element has another shape than its type",
        "structure",
        "A list stands where FHIR has one value, one value where FHIR has a list, or text where an "
        "object belongs. Elements that may repeat are always JSON lists.",
    ),
    Code(
        "V004",
        "A value does not fit its type",
        "value",
        "The text or number breaks the rules of its primitive type "
        "(http://hl7.org/fhir/R4/datatypes.html#primitive), such as a date that is not on the "
        "calendar, or an id with `_`.",
    ),
    Code(
        "V005",
        "A code is not in its required value set",
        "code-invalid",
        "The binding of this element is required, so only the codes that the specification lists "
        "may stand here. Codes are case-sensitive.",
    ),
    Code(
        "V006",
        "A choice has more than one value",
        "structure",
        "An element such as `onset[x]` takes one type at a time: keep one of the variants.",
    ),
    Code(
        "V007",
        "An element is empty",
        "structure",
        "Objects, lists and texts in FHIR are never empty (ele-1). Leave the element out.",
    ),
    Code(
        "V008",
        "Values and extensions of a list do not line up",
        "structure",
        "A list of primitive values and its `_` sibling have the same length; null stands where "
        "one of the two has nothing (http://hl7.org/fhir/R4/json.html#primitive).",
    ),
    Code(
        "V009",
        "The type of a resource is missing or unknown",
        "structure",
        "A contained resource or Bundle entry names its type in `resourceType`.",
    ),
    Code(
        "V010",
        "A contained resource breaks the rules for contained resources",
        "invariant",
        "Contained resources contain no others (dom-2) and have no version, time of update or "
        "security label of their own (dom-4, dom-5); each is referred to (dom-3).",
    ),
    Code(
        "V011",
        "An invariant of the specification does not hold",
        "invariant",
        "The message names the invariant by its key in the specification and what it asks for. "
        "A period that ends before it starts (per-1) is an error, since nobody can act on it. A "
        "Consent without policy (ppc-1) is a warning, since many real systems leave it out.",
    ),
    Code(
        "V012",
        "A reference into the resource finds nothing",
        "not-found",
        "A reference that starts with # points to a contained resource by its id (ref-1), and "
        "there is none of that id.",
    ),
    Code(
        "V013",
        "fhir.resources refuses an element",
        "structure",
        "The models of fhir.resources, against which every refusal is checked, found this problem.",
    ),
    Code(
        "V014",
        "The resource is refused",
        "structure",
        "The resource does not pass the typed decoder of its type. Please report the case, with "
        "the element that is named, so that the reason can be told better.",
    ),
    Code(
        "V020",
        "A profile asks for more values",
        "required",
        "A profile that the resource is checked against asks for at least so many values here.",
    ),
    Code(
        "V021",
        "A profile allows fewer values",
        "structure",
        "A profile that the resource is checked against allows at most so many values here.",
    ),
    Code(
        "V022",
        "A value is not the one that a profile fixes",
        "value",
        "The profile fixes this value, or parts of it (pattern).",
    ),
    Code(
        "V023",
        "A code is not in the value set that a profile requires",
        "code-invalid",
        "The profile binds this element to a value set with strength required.",
    ),
    Code(
        "V024",
        "A must-support element is absent",
        "informational",
        "The profile marks this element as must-support; it is no error to leave it out.",
    ),
    Code(
        "V025",
        "An invariant of a profile does not hold",
        "invariant",
        "The message names the invariant by its key in the profile.",
    ),
    Code(
        "V026",
        "An element has a type that a profile does not allow",
        "structure",
        "The profile narrows the types of this element, or the types that it may refer to.",
    ),
    Code(
        "V030",
        "A profile cannot be read",
        "structure",
        "A file among the profiles is no StructureDefinition with a snapshot or differential that "
        "can be checked. The message says what is wrong.",
    ),
    Code(
        "V031",
        "A value set is not among the profiles",
        "informational",
        "The profile requires codes of a value set that no loaded folder holds or that cannot be "
        "listed, so the codes are not checked. Add the package that has it.",
    ),
)
