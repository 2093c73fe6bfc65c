"""One problem, said once: its code, place and remedy, rendered for terminal, JSON and FHIR."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from engine.codes import (
    Code,
    config,
    consent,
    coordination,
    crosswalk,
    deliver,
    mapping,
    outreach,
    parse,
    road,
    rules,
    subscriptions,
    validate,
)

CODES: Mapping[str, Code] = MappingProxyType(
    {
        code.code: code
        for table in (
            parse.CODES,
            validate.CODES,
            config.CODES,
            mapping.CODES,
            crosswalk.CODES,
            consent.CODES,
            road.CODES,
            deliver.CODES,
            rules.CODES,
            outreach.CODES,
            coordination.CODES,
            subscriptions.CODES,
        )
        for code in table
    }
)
"""Every diagnostic code by its name."""


class Severity(StrEnum):
    """Rank a diagnostic; the values are FHIR's issue severities."""

    ERROR = "error"
    WARNING = "warning"
    INFORMATION = "information"


class Place(Struct, frozen=True, order=True):
    """Point into a file that a person wrote; line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Diagnostic(Struct, frozen=True):
    """Describe one problem to the person who can mend it.

    `message` is one sentence and never holds a payload value. `place` points into a file of
    the project, `path` is a FHIRPath into a resource (`CarePlan.activity[2].detail.status`),
    `table` the name and version of the code table that it speaks of.
    """

    code: str
    message: str
    severity: Severity = Severity.ERROR
    place: Place | None = None
    path: str | None = None
    expected: str | None = None
    remedy: str | None = None
    table: str | None = None

    def at(self, where: str) -> Diagnostic:
        """Return the same problem with its path seen from the whole (`where` for the type name)."""
        _, _, rest = (self.path or "").partition(".")
        path = f"{where}.{rest}" if rest else where
        return self if path == self.path else replace(self, path=path)

    def text(self) -> str:
        """Render as `file:line:col: CODE: message`, then what was expected and what to do."""
        where = str(self.place) if self.place else self.path
        head = f"{where}: {self.code}: {self.message}" if where else f"{self.code}: {self.message}"
        if self.place and self.path:
            head += f" (at {self.path})"
        if self.severity is not Severity.ERROR:
            head = head.replace(f"{self.code}:", f"{self.code} {self.severity}:", 1)
        lines = [head]
        if self.expected:
            lines.append(f"    expected: {self.expected}")
        if self.remedy:
            lines.append(f"    to do: {self.remedy}")
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Render as plain data; what is absent is left out."""
        out: dict[str, Any] = {
            "code": self.code,
            "severity": str(self.severity),
            "message": self.message,
        }
        if self.place:
            out |= {
                "file": self.place.file,
                "line": self.place.line,
                "column": self.place.column,
            }
        if self.path:
            out["path"] = self.path
        if self.expected:
            out["expected"] = self.expected
        if self.remedy:
            out["remedy"] = self.remedy
        if self.table:
            out["table"] = self.table
        return out

    def issue(self) -> dict[str, Any]:
        """Render as one `OperationOutcome.issue` (http://hl7.org/fhir/R4/operationoutcome.html)."""
        known = CODES.get(self.code)
        said = [self.message]
        if self.expected:
            said.append(f"Expected: {self.expected}.")
        if self.remedy:
            said.append(f"To do: {self.remedy}")
        issue: dict[str, Any] = {
            "severity": str(self.severity),
            "code": known.issue if known else "processing",
            "details": {
                "coding": [{"system": CODE_SYSTEM, "code": self.code}],
                "text": known.title if known else self.message,
            },
            "diagnostics": " ".join(said),
        }
        if self.path:
            issue["expression"] = [self.path]
        return issue


@dataclass(slots=True, kw_only=True)
class Problems:
    """Collect what is wrong with a file that a person wrote."""

    problems: list[Diagnostic] = field(default_factory=list)

    def problem(
        self,
        code: str,
        message: str,
        place: Place,
        expected: str | None = None,
        remedy: str | None = None,
        severity: Severity = Severity.ERROR,
    ) -> None:
        """Note one problem."""
        self.problems.append(
            Diagnostic(code, message, severity, place, expected=expected, remedy=remedy)
        )


CODE_SYSTEM = "https://carelane.example/fhir/CodeSystem/diagnostic"
"""The system of our codes in `OperationOutcome.issue.details`."""


def operation_outcome(diagnostics: Iterable[Diagnostic]) -> dict[str, Any]:
    """Return an OperationOutcome; without any problem it says that all went well."""
    issues = [diagnostic.issue() for diagnostic in diagnostics]
    return {
        "resourceType": "OperationOutcome",
        "issue": issues
        or [{"severity": "information", "code": "informational", "diagnostics": "All OK"}],
    }


def in_order(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Return the problems sorted by place, then path, then code."""
    nowhere = Place("", 0, 0)
    return sorted(diagnostics, key=lambda d: (d.place or nowhere, d.path or "", d.code))


def has_errors(diagnostics: Iterable[Diagnostic]) -> bool:
    """Tell whether any of the problems is an error."""
    return any(diagnostic.severity is Severity.ERROR for diagnostic in diagnostics)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that `name` most likely misspells, or None."""
    choices: Sequence[str] = sorted(known)
    folded = {choice.casefold(): choice for choice in reversed(choices)}
    if name.casefold() in folded:
        return folded[name.casefold()]
    found = difflib.get_close_matches(name.casefold(), list(folded), n=1, cutoff=0.5)
    return folded[found[0]] if found else None


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """Return the remedy sentence for a misspelt name, or None where nothing is near."""
    best = nearest(name, known)
    return f"did you mean '{best}'?" if best else None
