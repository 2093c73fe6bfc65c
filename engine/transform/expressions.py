"""FHIRPath that an analyst wrote for one direction, run by fhirpathpy within narrow limits."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import fhirpathpy
from antlr4 import CommonTokenStream, InputStream, Token
from fhirpathpy.parser.generated.FHIRPathLexer import FHIRPathLexer
from fhirpathpy.parser.generated.FHIRPathParser import FHIRPathParser

MAX_LENGTH = 2000
_TEXT = re.compile(r"'(?:[^'\\]|\\.)*'")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
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
