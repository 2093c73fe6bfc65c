"""After each message about a member: the plans and teams reviewed, and what was found written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from engine.coordination.findings import keep_findings, outcome_of
from engine.coordination.listing import listed
from engine.coordination.member_record import MemberRecord, known_record, study
from engine.coordination.studies import Studies
from engine.message import Resource
from engine.project import Project
from engine.rules.careplan import Settings, review
from engine.rules.finding import Finding, found
from engine.rules.orders import reference_to
from engine.rules.rulebook import BROKEN, FAILED, Rule
from engine.rules.team import Groups, load_groups, review_teams
from engine.store import Transaction, UnitRow

if TYPE_CHECKING:
    from engine.coordination.happening import Happening

REVIEWED = frozenset(
    {
        "CarePlan",
        "CareTeam",
        "Goal",
        "ServiceRequest",
        "MedicationRequest",
        "NutritionOrder",
        "DeviceRequest",
        "Appointment",
        "Encounter",
        "Procedure",
        "Condition",
        "DetectedIssue",
    }
)
"""The types whose arrival may change what a review finds."""

ROLES = "tables/careteam-role.csv"
"""The table under mappings/ that says which group each role belongs to."""


def concerns(tx: Transaction, project: Project, canonical: Resource) -> bool:
    """Tell whether a resource may change what a review of its member finds."""
    type_name = canonical["resourceType"]
    return type_name in REVIEWED or type_name in project.rules.watched_types


def review_after(tx: Transaction, project: Project, happening: Happening) -> None:
    """Review every member that an accepted message was about."""
    if project.config.coordination is None:
        return
    for member in _members_of(tx, project, happening.units):
        record, findings = reviewed(tx, project, member)
        keep_findings(tx, project, record, findings)


def foresee(tx: Transaction, project: Project, units: Iterable[UnitRow]) -> None:
    """Review ahead of a turn, on a snapshot, what `review_after` is to review in it."""
    if project.config.coordination is not None:
        members = _members_of(tx, project, units)
        ready(tx, project, members)
        for member in members:
            reviewed(tx, project, member)


def ready(tx: Transaction, project: Project, members: Iterable[str]) -> None:
    """Read together what reviews of members will ask of each, where it is kept until then."""
    if tx.answers.kept:
        listed = sorted({id for member in members for id in tx.crosswalk.same(member)})
        tx.resources.ready_of_members(listed)
        study(tx, project, listed, tx.recall.beside(Studies))


def _members_of(tx: Transaction, project: Project, units: Iterable[UnitRow]) -> list[str]:
    types = REVIEWED | project.rules.watched_types
    members = {unit.member for unit in units if unit.type in types and unit.member}
    return sorted({tx.crosswalk.same(member)[0] for member in members})


def reviewed(
    tx: Transaction, project: Project, member: str
) -> tuple[MemberRecord, Sequence[Finding]]:
    """Return the record of one member, and what reviews find in it: a value, nothing is written.

    What was found of the very same record a moment ago is not worked out again.
    """
    studies, at = tx.recall.beside(Studies), tx.now
    record = known_record(tx, project, member, studies)
    find = partial(findings_of, project, record)
    return record, studies.findings(record.stamp, project, at, find)


def findings_of(project: Project, record: MemberRecord, at: str) -> list[Finding]:
    """Return what the reviews find about one member, each kind as configured, as it is listed."""
    coordination = project.config.coordination
    if coordination is None:
        return []
    plans, teams = record.of("CarePlan"), record.of("CareTeam")
    related = record.everything
    settings = Settings(grace=coordination.review.grace, titles=titles_of(project, record))
    everything = [
        *review(plans, related, at, book=project.rules, settings=settings),
        *review_teams(
            teams,
            related,
            at,
            member=record.member,
            groups=groups_of(project),
            plans=plans,
            book=project.rules,
        ),
        *_ruled(project, related),
    ]
    return listed(record, (each for each in everything if outcome_of(project, each) != "off"))


def titles_of(project: Project, record: MemberRecord) -> Mapping[str, str]:
    """Return the title of the system that each resource came from."""
    systems = project.config.systems
    return {
        reference: systems[name].title or name
        for reference, name in record.systems.items()
        if name in systems
    }


def groups_of(project: Project) -> Groups:
    """Return the groups of roles of the project's own table."""
    return load_groups(project.config.mappings / ROLES)


def _ruled(project: Project, resources: Sequence[Resource]) -> Iterator[Finding]:
    """Ask the rules that only tell (warn, task) about everything of a member."""
    for resource in resources:
        for rule in project.rules.watching(str(resource.get("resourceType"))):
            verdict = rule.ask(resource)
            if verdict == BROKEN:
                yield _told(rule, resource, rule.message, rule.outcome)
            elif verdict == FAILED:
                said = f"The rule “{rule.name}” could not be computed; a person has to look."
                yield _told(rule, resource, said, "hold")


def _told(rule: Rule, resource: Mapping[str, Any], said: str, outcome: str) -> Finding:
    return found(
        "rule",
        said,
        [reference_to(resource)],
        about=rule.name,
        gravity=rule.gravity,
        outcome=outcome,
    )
