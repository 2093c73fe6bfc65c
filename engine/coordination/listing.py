"""Which findings go on record one by one, and the one that stands for all more of its kind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from engine.coordination.findings import finding_id, stays_closed
from engine.coordination.member_record import MemberRecord
from engine.message import Resource
from engine.rules.finding import Finding, found

MOST_OF_A_KIND = 100
"""How many findings of one kind about one member are opened one by one."""

_Kind = tuple[str, str | None, str | None]


def listed(
    record: MemberRecord, findings: Iterable[Finding], most: int = MOST_OF_A_KIND
) -> list[Finding]:
    """Return findings as they go on record: of a kind the first, and one that tells of all more.

    That one implicates all that the others do. What is open already stays; what a person closed
    leaves its place to the next.
    """
    kinds: dict[_Kind, list[Finding]] = {}
    for finding in findings:
        kinds.setdefault((finding.code, finding.outcome, finding.gravity), []).append(finding)
    known = {str(issue["id"]): issue for issue in record.of("DetectedIssue")}
    return [
        each for same in kinds.values() for each in _of_a_kind(record.member, same, known, most)
    ]


def _of_a_kind(
    member: str, findings: Sequence[Finding], known: dict[str, Resource], most: int
) -> Iterator[Finding]:
    if len(findings) <= most:
        yield from findings
        return
    new: list[Finding] = []
    room = most
    for finding in findings:
        issue = known.get(finding_id(member, finding))
        if issue is not None and issue["status"] == "preliminary":
            room -= 1
            yield finding
        elif issue is not None and stays_closed(issue, finding):
            yield finding
        else:
            new.append(finding)
    room = max(room, 0)
    yield from new[:room]
    if new[room:]:
        yield _rest(new[room:], most)


def _rest(findings: Sequence[Finding], most: int) -> Finding:
    """Return the finding that tells of these, which are all of one kind."""
    one = findings[0]
    return found(
        one.code,
        f"There are more findings of this kind than the {most} that are told one by one. "
        "What is implicated here takes part in the others; where one is closed, the next is told.",
        {reference for finding in findings for reference in finding.evidence},
        about=f"more {one.outcome or ''} {one.gravity or ''}",
        gravity=one.gravity,
        outcome=one.outcome,
        grows=True,
    )
