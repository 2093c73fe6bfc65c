"""Diagnostic codes of the parse room."""

from __future__ import annotations

from engine.codes import Code

CODES: tuple[Code, ...] = (
    Code(
        "P001",
        "The body is empty",
        "required",
        "A submission carries one FHIR resource as JSON. Check that the client sends the body, and "
        "a Content-Length or chunked encoding that covers it.",
    ),
    Code(
        "P002",
        "The body is too large",
        "too-long",
        "The body has more bytes than `limits.bytes` in config.yaml allows. Send it in several "
        "Bundles, or raise the limit.",
    ),
    Code(
        "P003",
        "The body is not UTF-8",
        "structure",
        "FHIR JSON is written in UTF-8 (http://hl7.org/fhir/R4/json.html). Write the text in UTF-8 "
        "and send it again.",
    ),
    Code(
        "P004",
        "The body is not JSON",
        "structure",
        "The text breaks the rules of JSON (RFC 8259) at the place named: often a comma too many, "
        "a quote missing, NaN, or a body that was cut off.",
    ),
    Code(
        "P005",
        "A key stands twice",
        "duplicate",
        "Two members of one JSON object have the same name. Most readers keep the last one and "
        "lose the first, so it is refused. Use a list where the element repeats.",
    ),
    Code(
        "P006",
        "The nesting is too deep",
        "too-long",
        "Objects and lists stand inside each other deeper than `limits.depth` in config.yaml "
        "allows. No FHIR resource needs that.",
    ),
    Code(
        "P007",
        "A number is too large",
        "value",
        "A number has thousands of digits or an exponent beyond any measurement; computing with it "
        "could exhaust the machine.",
    ),
    Code(
        "P008",
        "The body is no JSON object",
        "structure",
        "A FHIR resource is one JSON object with a `resourceType`. To send several, put them into "
        "a Bundle.",
    ),
    Code(
        "P009",
        "The resource does not say its type",
        "required",
        'Every FHIR resource starts with "resourceType": "..." as text.',
    ),
    Code(
        "P010",
        "The resource type is unknown",
        "not-supported",
        "`resourceType` names no resource type of this FHIR version. Types are case-sensitive: "
        "`CareTeam`, not `Careteam`.",
    ),
    Code(
        "P011",
        "The Bundle has too many entries",
        "too-long",
        "The Bundle has more entries than `limits.entries` in config.yaml allows. Send several "
        "Bundles.",
    ),
    Code(
        "P012",
        "Contained resources refer to each other in a circle",
        "structure",
        "Contained resources point to each other by `#id` in a circle, so no reader can resolve "
        "them. Break the circle, or send them as resources of their own.",
    ),
    Code(
        "P013",
        "A Bundle entry is no object",
        "structure",
        "`Bundle.entry` is a list of objects, each with its `resource` as an object.",
    ),
    Code(
        "P014",
        "A NUL character was sent",
        "value",
        "FHIR strings have no control characters but tab, line feed and carriage return "
        "(http://hl7.org/fhir/R4/datatypes.html#string), and PostgreSQL cannot keep this one. "
        "Leave it out.",
    ),
    Code(
        "P015",
        "The body was not read",
        "processing",
        "The connection ended before the body was whole, or the request offers to change the "
        "protocol (`Upgrade`), and what follows it is taken for the other one. Send it again in "
        "HTTP/1.1 without Upgrade.",
    ),
)
