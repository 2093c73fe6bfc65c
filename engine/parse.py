"""The second stage of the road: from the bytes of a body to the tree of one resource."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from msgspec import Struct

from engine.diagnostics import Diagnostic, did_you_mean
from engine.fhir import json
from engine.fhir.references import contained_cycle
from engine.fhir.schema import Version, schema
from engine.message import Resource

_BOM = b"\xef\xbb\xbf"
_SPACE = b" \t\r\n"
_ESCAPED_LETTER = re.compile(rb"\\u00[4-7]")
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


@dataclass(frozen=True, slots=True)
class Limits:
    """Bound what one body may cost: size in bytes, depth of nesting, entries of a Bundle."""

    bytes: int = 10_485_760
    depth: int = json.MAX_DEPTH
    entries: int = 1000


class Parsed(Struct, frozen=True):
    """Hold the tree of a body, or why there is none and the HTTP status that says so.

    `extended` says whether an extension may stand anywhere in it.
    """

    tree: Resource | None
    diagnostics: tuple[Diagnostic, ...] = ()
    status: int = 200
    extended: bool = True


DEFAULT_LIMITS = Limits()


def parse(body: bytes, limits: Limits = DEFAULT_LIMITS, fhir: Version = "R4") -> Parsed:
    """Read one resource from JSON text, exactly.

    The status is 200, 400 where the text is no JSON object that can be read, 413 where it is
    larger than the limits, 422 where it is JSON but no resource of the FHIR version. A byte
    order mark is skipped, as RFC 8259 section 8.1 allows.
    """
    if len(body) > limits.bytes:
        return _refused(413, _too_large(limits))
    start = len(_BOM) if body.startswith(_BOM) else 0
    text = body[start:] if start else body
    if not text.strip(_SPACE):
        said = "The body is empty."
        return _refused(400, Diagnostic("P001", said, expected="one FHIR resource as JSON"))
    try:
        tree = json.loads(text, limits.depth)
    except json.JSONError as error:
        return _refused(400, _unreadable(error, text, limits))
    return _resource(tree, limits, fhir, _may_extend(text))


def nul_problem(text: bytes) -> Diagnostic | None:
    """Say where JSON text has a NUL character: the databases differ in what they make of it."""
    if b"\\u0000" in text and _NUL.search(text):
        return Diagnostic("P014", "A NUL character stands in a text of the body.")
    return None


def _may_extend(text: bytes) -> bool:
    """Tell whether a key may end like those of extensions, also where letters are escaped."""
    return b'xtension"' in text or (b"\\" in text and _ESCAPED_LETTER.search(text) is not None)


def _refused(status: int, *problems: Diagnostic) -> Parsed:
    return Parsed(None, problems, status)


def _too_large(limits: Limits) -> Diagnostic:
    return Diagnostic(
        "P002",
        "The body is too large.",
        expected=f"at most {limits.bytes} bytes",
        remedy="send it in several Bundles.",
    )


_UNREADABLE = {
    "encoding": ("P003", "The body is not UTF-8 text", "JSON text in UTF-8"),
    "syntax": ("P004", "The body is not JSON", "one JSON object"),
    "duplicate": ("P005", "A key stands twice in one JSON object", "each key once"),
    "depth": ("P006", "The nesting is too deep", "at most {depth} levels"),
    "number": ("P007", "A number is too large to be read", "a number that can be computed with"),
}


def _unreadable(error: json.JSONError, text: bytes, limits: Limits) -> Diagnostic:
    code, said, expected = _UNREADABLE[error.kind]
    place = f" at {_line_and_column(text, error.offset)}" if error.offset is not None else ""
    reason = f": {error}" if error.kind == "syntax" else ""
    return Diagnostic(
        code,
        f"{said}{place}{reason}.",
        path=error.path,
        expected=expected.format(depth=limits.depth),
        remedy="remove one of the two." if error.kind == "duplicate" else None,
    )


def _line_and_column(text: bytes, offset: int) -> str:
    before = text[:offset]
    line_start = before.rfind(b"\n") + 1
    column = len(before[line_start:].decode("utf-8", "replace")) + 1
    return f"line {before.count(10) + 1}, column {column}"


def _resource(tree: Any, limits: Limits, fhir: Version, extended: bool) -> Parsed:
    if not isinstance(tree, dict):
        return _refused(400, _no_object(tree))
    problems = type_problems(tree, fhir) or tuple(_bundle_problems(tree, limits))
    if problems:
        too_many = any(problem.code == "P011" for problem in problems)
        return _refused(413 if too_many else 422, *problems)
    circles = tuple(_circles(tree))
    return _refused(422, *circles) if circles else Parsed(tree, extended=extended)


def _no_object(tree: Any) -> Diagnostic:
    found = "a list" if isinstance(tree, list) else "a single value"
    return Diagnostic(
        "P008",
        f"The body is {found}, not a JSON object.",
        expected="one FHIR resource as a JSON object",
        remedy="put several resources into a Bundle." if isinstance(tree, list) else None,
    )


def type_problems(tree: Resource, fhir: Version = "R4") -> tuple[Diagnostic, ...]:
    """Return what is wrong with the type that a resource names."""
    kind, known = tree.get("resourceType"), schema(fhir).resources
    if not isinstance(kind, str) or not kind:
        said = "The resourceType is no text."
        if "resourceType" not in tree:
            said = "There is no resourceType."
        expected = "the name of a FHIR resource type"
        return (Diagnostic("P009", said, path="resourceType", expected=expected),)
    if kind in known:
        return ()
    unknown = Diagnostic(
        "P010",
        "The resourceType names no resource type of this FHIR version.",
        path="resourceType",
        expected=f"a resource type of FHIR {fhir}",
        remedy=did_you_mean(kind[:64], known),
    )
    return (unknown,)


def _bundle_problems(tree: Resource, limits: Limits) -> Iterator[Diagnostic]:
    if tree["resourceType"] != "Bundle" or "entry" not in tree:
        return
    entries = tree["entry"]
    if not isinstance(entries, list):
        yield _no_entry("Bundle.entry")
        return
    if len(entries) > limits.entries:
        yield Diagnostic(
            "P011",
            f"The Bundle has {len(entries)} entries.",
            path="Bundle.entry",
            expected=f"at most {limits.entries} entries",
            remedy="send several Bundles.",
        )
        return
    for index, entry in enumerate(entries):
        if not isinstance(entry, dict):
            yield _no_entry(f"Bundle.entry[{index}]")
        elif not isinstance(entry.get("resource", {}), dict):
            yield _no_entry(f"Bundle.entry[{index}].resource")


def _no_entry(path: str) -> Diagnostic:
    expected = "a list of objects" if path == "Bundle.entry" else "an object"
    said = "This part of the Bundle has another shape than FHIR gives it."
    return Diagnostic("P013", said, path=path, expected=expected)


def _circles(tree: Resource) -> Iterator[Diagnostic]:
    for path, resource in _outer_resources(tree):
        if "contained" in resource and (circle := contained_cycle(resource)):
            yield Diagnostic(
                "P012",
                f"{len(circle) - 1} contained resources refer to each other in a circle.",
                path=f"{path}.contained",
                expected="contained resources that end somewhere",
                remedy="break the circle, or send them as resources of their own.",
            )


def _outer_resources(tree: Resource) -> Iterator[tuple[str, Resource]]:
    yield str(tree["resourceType"]), tree
    if tree["resourceType"] == "Bundle":
        for index, entry in enumerate(tree.get("entry", ())):
            if "resource" in entry:
                yield f"Bundle.entry[{index}].resource", entry["resource"]
