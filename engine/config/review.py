"""The settings of the reviews of plans and teams: what is done about each kind of finding."""

# ruff: noqa: RUF009 - the calls declare settings; each makes a dataclass field

from __future__ import annotations

from dataclasses import dataclass, fields

from engine.config.kinds import Choice, Section, Text, Whole
from engine.config.settings import absent_or, optional, required

_OUTCOME = Choice(("warn", "task", "hold", "off"))


def _outcome(name: str, about: str, default: str = "warn") -> str:
    return optional(_OUTCOME, about, default, key=name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """Say what follows each kind of finding.

    `warn` writes a DetectedIssue, `task` also a Task for the coordinator, `hold` also keeps what
    is implicated from leaving until the finding is settled; `off` does nothing.
    """

    plan_overlap: str = _outcome("plan-overlap", "Active plans of one category overlap.")
    activity_duplicate: str = _outcome("activity-duplicate", "One activity stands in two places.")
    activity_contradiction: str = _outcome(
        "activity-contradiction", "Activities work against each other.", "task"
    )
    frequency_disagreement: str = _outcome(
        "frequency-disagreement", "One activity is to happen at different rates.", "task"
    )
    duration_disagreement: str = _outcome(
        "duration-disagreement", "One activity is to last differently long."
    )
    quantity_disagreement: str = _outcome(
        "quantity-disagreement", "One service or medication has two amounts.", "task"
    )
    not_scheduled: str = _outcome("not-scheduled", "A service has no sign of being scheduled.")
    goal_without_activity: str = _outcome("goal-without-activity", "No activity serves a goal.")
    activity_without_goal: str = _outcome("activity-without-goal", "Activities serve no goal.")
    member_missing: str = _outcome("member-missing", "No team names the member.", "task")
    group_missing: str = _outcome("group-missing", "A needed group has nobody on the team.")
    participation_ended: str = _outcome(
        "participation-ended", "A team names somebody whose period is over."
    )
    role_unknown: str = _outcome("role-unknown", "A role could not be translated.")
    participant_twice: str = _outcome("participant-twice", "One person has two identifiers.")
    not_compared: str = _outcome("not-compared", "There is more than a review compares.", "task")
    rule: str = _outcome("rule", "A rule that was written here could not be computed.", "hold")

    def of(self, code: str) -> str:
        """Return what follows a kind of finding."""
        outcome: str = getattr(self, code.replace("-", "_"))
        return outcome


CODES = tuple(each.name.replace("_", "-") for each in fields(Outcomes))
"""The kinds of finding that configuration knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coordinator:
    """Name who gets the Tasks, as both sides know them: no payload, only an identifier."""

    system: str = required(Text("an identifier system"), "The system of the identifier.")
    value: str = required(Text("an identifier"), "The identifier of the person or organization.")
    name: str = required(Text("a name"), "What to call them.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """Say what is done about what the reviews of plans and teams find."""

    outcomes: Outcomes = optional(
        Section(Outcomes), "What follows each kind of finding.", Outcomes()
    )
    coordinator: Coordinator | None = absent_or(
        Section(Coordinator),
        "Who gets the Tasks; without one the organization of the acting system does.",
    )
    grace: int = optional(
        Whole(0, 365),
        "For how many days a prescribed service may be without a sign of being scheduled.",
        14,
    )
