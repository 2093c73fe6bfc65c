"""What a review found: one value, and the DetectedIssue that it becomes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from engine.message import Resource
from engine.rules.own_work import FINDING

Gravity = Literal["high", "moderate", "low"]

CODE_SYSTEM = FINDING
"""The system of our codes in `DetectedIssue.code`."""

ACTION_SYSTEM = "https://carelane.example/fhir/CodeSystem/finding-action"
"""The system of what the engine itself says that was done about a finding."""

_ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"


@dataclass(frozen=True, slots=True)
class Kind:
    """Say what one kind of finding is called, and how grave it is unless a rule says otherwise."""

    title: str
    gravity: Gravity
    about: str


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "plan-overlap": Kind(
            "Overlapping plans", "moderate", "Two active plans of one category at the same time."
        ),
        "activity-duplicate": Kind(
            "The same activity twice", "moderate", "The same activity stands in two places."
        ),
        "activity-contradiction": Kind(
            "Contradicting activities", "high", "Two activities work against each other."
        ),
        "frequency-disagreement": Kind(
            "Different frequency", "high", "One activity is to happen at different rates."
        ),
        "duration-disagreement": Kind(
            "Different duration", "moderate", "One activity is to last differently long."
        ),
        "quantity-disagreement": Kind(
            "Different quantity", "high", "One service or medication is prescribed in two amounts."
        ),
        "not-scheduled": Kind(
            "Not scheduled", "moderate", "A prescribed service has no sign of being scheduled."
        ),
        "goal-without-activity": Kind(
            "Goal without activity", "low", "No activity of any plan serves the goal."
        ),
        "activity-without-goal": Kind(
            "Activities without goal", "low", "A plan's activities serve no stated goal."
        ),
        "member-missing": Kind(
            "Member not on the team", "high", "No team of the member names the member."
        ),
        "group-missing": Kind(
            "Nobody from a needed group", "moderate", "A plan needs a group that has nobody."
        ),
        "participation-ended": Kind(
            "Participation has ended", "low", "An active team names somebody whose period is over."
        ),
        "role-unknown": Kind(
            "Role not understood", "low", "A participant's role could not be translated."
        ),
        "participant-twice": Kind(
            "One person twice", "low", "One person seems to be on the team under two identifiers."
        ),
        "not-compared": Kind(
            "Not all compared", "moderate", "There is more than a review compares with each other."
        ),
        "rule": Kind("A rule is not met", "moderate", "A rule of this project found a problem."),
    }
)
"""Every kind of finding by its code."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Hold one thing that a person should look at.

    `reason` says it in plain words, `evidence` are the canonical references it rests on (sorted),
    `about` tells it from others of the same kind about the same evidence. `outcome` is what a rule
    itself asks for (`warn`, `task`, `hold`); without one, configuration decides by kind. One that
    `grows` is the same although its evidence changes.
    """

    code: str
    reason: str
    evidence: tuple[str, ...]
    about: str = ""
    gravity: Gravity | None = None
    outcome: str | None = None
    grows: bool = False

    @property
    def identity(self) -> str:
        """Return what stays the same as long as it is the same finding."""
        if self.grows:
            return "|".join((self.code, self.about, "grows"))
        return "|".join((self.code, self.about, *self.evidence))


def found(
    code: str,
    reason: str,
    evidence: Iterable[str],
    *,
    about: str = "",
    gravity: Gravity | None = None,
    outcome: str | None = None,
    grows: bool = False,
) -> Finding:
    """Return a finding with its evidence in one order."""
    return Finding(code, reason, tuple(sorted(set(evidence))), about, gravity, outcome, grows)


def detected_issue(finding: Finding, id: str, *, member: str, author: Any, at: str) -> Resource:
    """Return an open finding as a DetectedIssue (http://hl7.org/fhir/R4/detectedissue.html).

    `member` is the canonical id of the Patient, `author` a Reference, `at` when it was found.
    """
    references = [{"reference": reference} for reference in finding.evidence]
    return {
        "resourceType": "DetectedIssue",
        "id": id,
        "status": "preliminary",
        "code": {"coding": _codings(finding.code), "text": KINDS[finding.code].title},
        "severity": finding.gravity or KINDS[finding.code].gravity,
        "patient": {"reference": f"Patient/{member}"},
        "identifiedDateTime": at,
        "author": author,
        "implicated": references,
        "evidence": [{"detail": references}],
        "detail": finding.reason,
    }


def settled(issue: Resource, at: str) -> Resource:
    """Return a DetectedIssue that is no longer found: final, and what ended it."""
    done = {
        "action": {
            "coding": [{"system": ACTION_SYSTEM, "code": "no-longer-found"}],
            "text": "No longer found when the record was reviewed again",
        },
        "date": at,
    }
    return {**issue, "status": "final", "mitigation": [done]}


def settled_by_engine(issue: Mapping[str, Any]) -> bool:
    """Tell whether the engine itself closed a DetectedIssue, so that it may open it again."""
    return any(
        coding.get("system") == ACTION_SYSTEM
        for mitigation in issue.get("mitigation", ())
        for coding in mitigation.get("action", {}).get("coding", ())
    )


def kind_of(issue: Mapping[str, Any]) -> str | None:
    """Return our code of a DetectedIssue, or None where somebody else wrote it."""
    for coding in issue.get("code", {}).get("coding", ()):
        if coding.get("system") == CODE_SYSTEM:
            return str(coding.get("code"))
    return None


def _codings(code: str) -> list[dict[str, str]]:
    own = {"system": CODE_SYSTEM, "code": code, "display": KINDS[code].title}
    if code != "activity-duplicate":
        return [own]
    return [own, {"system": _ACT_CODE, "code": "DUPTHPY", "display": "Duplicate Therapy Alert"}]
