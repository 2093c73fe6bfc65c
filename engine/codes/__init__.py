"""The table of diagnostic codes, one file per room; a code is never reused for another meaning."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Code:
    """Define one diagnostic code.

    `issue` is the FHIR issue type it becomes in an OperationOutcome
    (http://hl7.org/fhir/R4/valueset-issue-type.html); `explanation` is what
    `carelane explain CODE` prints: why it is refused and what to do, with an example.
    """

    code: str
    title: str
    issue: str
    explanation: str
