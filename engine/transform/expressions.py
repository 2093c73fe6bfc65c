"""FHIRPath that an analyst wrote for one direction, run by fhirpathpy within narrow limits."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import cache
from typing import Any, Literal

import fhirpathpy
from antlr4 import CommonTokenStream, InputStream, Token
from fhirpathpy.engine.invocations import invocation_registry
from fhirpathpy.parser.generated.FHIRPathLexer import FHIRPathLexer
from fhirpathpy.parser.generated.FHIRPathParser import FHIRPathParser

from engine.fhir.schema import schema

MAX_LENGTH = 2000
_TEXT = re.compile(r"'(?:[^'\\]|\\.)*'")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CALL = re.compile(r"([A-Za-z][A-Za-z0-9]*)\s*\(")
_NAMED = re.compile(r"(?<![$@%\w])([A-Za-z][A-Za-z0-9]*)\b(?!\s*\()")
_WORDS = frozenset(
    {"and", "or", "xor", "implies", "not", "contains", "in", "is", "as", "div", "mod", "true"}
    | {"false", "year", "years", "month", "months", "week", "weeks", "day", "days", "hour"}
    | {"hours", "minute", "minutes", "second", "seconds", "millisecond", "milliseconds"}
    | {"FHIR", "System", "Boolean", "String", "Integer", "Decimal", "Date", "DateTime", "Time"}
)
_EXTENSIONS = frozenset({"extension", "modifierExtension"})
_ANY_RESOURCE = frozenset({"contained", "resource"})
_CLOSED = frozenset(
    [
        "now",
        "today",
        "timeOfDay",
        "trace",
        "resolve",
        "memberOf",
        "conformsTo",
        "subsumes",
        "subsumedBy",
        "htmlChecks",
        "repeat",
        "aggregate",
        "descendants",
        "defineVariable",
        "matches",
        "matchesFull",
        "replaceMatches",
    ]
)


def check_expression(text: str) -> str | None:
    """Return in one sentence why an expression is not read, or None where it is.

    Closed are clock, network, regular expressions and recursion (what could hang, or give another
    answer tomorrow), variables, and names with underscores.
    """
    if len(text) > MAX_LENGTH:
        return "The expression is too long."
    bare = _TEXT.sub("''", text)
    if "%" in bare or "`" in bare:
        return "Variables and quoted names are not open to mappings."
    for name in _NAME.findall(bare):
        if name.startswith("_") or "__" in name:
            return f"The name '{name}' is not open to mappings."
        if name in _CLOSED:
            return f"The function '{name}' is not open to mappings."
    if not _is_fhirpath(text):
        return "The expression is no FHIRPath that can be read."
    return None


def unknown_functions(text: str) -> list[tuple[str, Collection[str]]]:
    """Return each function of an expression that does not exist, with those that do."""
    known = frozenset(invocation_registry) | {"is", "as", "ofType"}
    called = dict.fromkeys(_CALL.findall(_TEXT.sub("''", text)))
    return [(name, known) for name in called if name not in known and name not in _WORDS]


def unknown_names(
    text: str, version: Literal["R4", "R5"], types: Collection[str]
) -> list[tuple[str, Collection[str]]]:
    """Return each name that no element below these types has, with those that they have.

    It would find nothing, without a word. Inside a resource within, every name may come.
    """
    bare = _TEXT.sub("''", text)
    words = frozenset(_NAME.findall(bare))
    if words & _ANY_RESOURCE:
        return []
    looked_at = (*types, "Extension") if words & _EXTENSIONS else types
    known = frozenset[str]().union(*(_below(version, name) for name in looked_at))
    allowed = known | _WORDS | schema(version).types
    named = dict.fromkeys(_NAMED.findall(bare))
    return [(name, known) for name in named if known and name not in allowed]


@cache
def _below(version: Literal["R4", "R5"], type_name: str) -> frozenset[str]:
    """Return the name of every element of a type and of the types inside it, as JSON has them."""
    known = schema(version)
    names, seen, open_types = {"resourceType"}, {type_name}, [type_name]
    while open_types:
        for name, element in known.type(open_types.pop()).elements.items():
            names.add(name)
            further = known.has(element.type) and element.type not in known.resources
            if further and element.type not in seen and element.type != "Extension":
                seen.add(element.type)
                open_types.append(element.type)
    return frozenset(names | {"url", "extension"})


def _is_fhirpath(text: str) -> bool:
    """Tell whether the grammar takes the whole text; fhirpathpy itself reads on over errors."""
    lexer = FHIRPathLexer(InputStream(text))
    lexer.removeErrorListeners()
    tokens = CommonTokenStream(lexer)
    parser = FHIRPathParser(tokens)
    parser.removeErrorListeners()
    try:
        parser.expression()
        _compiled(text)
    except Exception:  # whatever a parser may raise over text that it cannot read
        return False
    return bool(parser.getNumberOfSyntaxErrors() == 0 and tokens.LA(1) == Token.EOF)


@cache
def _compiled(text: str) -> Any:
    return fhirpathpy.compile(text)


def evaluate(text: str, tree: dict[str, Any]) -> list[Any]:
    """Return what a checked expression finds in an object; nothing where it cannot be computed."""
    try:
        found = _compiled(text)(tree)
    except Exception:  # an expression that fails on this message finds nothing
        return []
    return [value for value in found if value is not None]
