"""The care team seen as one: who is on it, from which group, and what is missing or doubtful."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

from engine.fhir.dates import interval, moment
from engine.message import Resource
from engine.rules.finding import Finding, found
from engine.rules.orders import Shelf, is_current, orders, reference_to, short, target_of
from engine.rules.rulebook import BROKEN, EMPTY, FAILED, GROUPS, RuleBook

_LARGEST_TABLE = 1_000_000
_FAMILY = ("RelatedPerson",)


@dataclass(frozen=True, slots=True)
class Groups:
    """Know which group of the guide a role belongs to, by code and by the code's own words."""

    codes: Mapping[tuple[str, str], str]
    words: Mapping[str, str]

    def of(self, role: Any) -> str | None:
        """Return the group of a role (a CodeableConcept), or None where it is not understood."""
        if not isinstance(role, Mapping):
            return None
        for coding in role.get("coding") or ():
            key = (str(coding.get("system")), str(coding.get("code")))
            if group := self.codes.get(key):
                return group
        return self.words.get(" ".join(str(role.get("text", "")).casefold().split()))


NO_GROUPS = Groups({}, {})


@cache
def load_groups(table: Path) -> Groups:
    """Read the groups from the table of roles: the first words of each row's note."""
    codes: dict[tuple[str, str], str] = {}
    words: dict[str, str] = {}
    try:
        text = table.read_text(encoding="utf-8")[:_LARGEST_TABLE]
    except OSError:
        return NO_GROUPS
    for row in csv.DictReader(text.splitlines()):
        group = (row.get("note") or "").partition(";")[0].strip()
        if group not in GROUPS:
            continue
        for side in ("canonical", "dialect"):
            codes.setdefault((row[f"{side}_system"], row[side]), group)
            words.setdefault(" ".join(row[f"{side}_display"].casefold().split()), group)
    return Groups(codes, words)


@dataclass(frozen=True, slots=True)
class Seat:
    """Hold one participation: who, in which role and group, on which team, and whether it ended."""

    team: str
    path: str
    who: str
    name: str
    role: str
    group: str | None
    roles_unknown: bool
    ended: str | None


@dataclass(frozen=True, slots=True)
class Team:
    """Hold the teams of one member as one."""

    teams: tuple[str, ...]
    seats: tuple[Seat, ...]

    @property
    def sitting(self) -> tuple[Seat, ...]:
        """Return the participations that have not ended."""
        return tuple(seat for seat in self.seats if seat.ended is None)

    def of_group(self, group: str | None) -> tuple[Seat, ...]:
        """Return who sits for one group now (None: for no known group)."""
        return tuple(seat for seat in self.sitting if seat.group == group)


def one_team(
    teams: Sequence[Resource], related: Sequence[Resource], at: str, groups: Groups
) -> Team:
    """Return the active teams of one member as one; `related` tells who the participants are."""
    shelf = Shelf(related)
    active = sorted((team for team in teams if _active(team, at)), key=reference_to)
    seats = tuple(seat for team in active for seat in _seats(team, shelf, at, groups))
    return Team(tuple(reference_to(team) for team in active), seats)


def review_teams(
    teams: Sequence[Resource],
    related: Sequence[Resource],
    at: str,
    *,
    member: str,
    groups: Groups = NO_GROUPS,
    plans: Sequence[Resource] = (),
    book: RuleBook = EMPTY,
) -> list[Finding]:
    """Return what a person should look at in the teams of one member, the same way each time.

    `member` is the canonical id of the Patient; `plans` and the requests among `related` say which
    groups are needed, by the `needs` of the book.
    """
    team = one_team(teams, related, at, groups)
    if not team.teams:
        return []
    shelf = Shelf([*related, *plans])
    checks = (
        _member_missing(team, member),
        _groups_missing(team, plans, shelf, book, at),
        _ended(team),
        _unknown(team),
        _twice(team, shelf),
    )
    unique = {finding.identity: finding for check in checks for finding in check}
    return [unique[identity] for identity in sorted(unique)]


def _active(team: Resource, at: str) -> bool:
    return team.get("status") == "active" and _end(team.get("period"), at) is None


def _seats(team: Resource, shelf: Shelf, at: str, groups: Groups) -> Iterator[Seat]:
    for index, participant in enumerate(team.get("participant") or ()):
        member = participant.get("member") or {}
        person = shelf.find(member, team)
        roles = list(participant.get("role") or ())
        known = [group for group in map(groups.of, roles) if group]
        who = _identity(member)
        kind = who.partition("/")[0]
        group = known[0] if known else "family" if kind in _FAMILY else None
        yield Seat(
            team=reference_to(team),
            path=f"participant[{index}]",
            who=who,
            name=_called(person, member),
            role=_role(roles),
            group=group,
            roles_unknown=bool(roles) and not known and kind not in ("Patient", *_FAMILY),
            ended=_end(participant.get("period"), at),
        )


def _identity(member: Mapping[str, Any]) -> str:
    identifier = member.get("identifier") or {}
    literal = target_of(member)
    return literal or f"{identifier.get('system', '')}|{identifier.get('value', '')}"


def _role(roles: Sequence[Mapping[str, Any]]) -> str:
    for role in roles:
        displays = (coding.get("display") for coding in role.get("coding") or ())
        codes = (coding.get("code") for coding in role.get("coding") or ())
        if said := next(filter(None, (role.get("text"), *displays, *codes)), None):
            return short(str(said), 60)
    return ""


def _called(person: Resource | None, member: Mapping[str, Any]) -> str:
    return short(name_of(person) or str(member.get("display") or ""), 60)


def name_of(resource: Mapping[str, Any] | None) -> str:
    """Return what a person or organization is called, on one line; empty where nothing says."""
    names = (resource or {}).get("name")
    if isinstance(names, str):
        return short(names, 120)
    for name in names if isinstance(names, list) else ():
        parts = [*(name.get("prefix") or ()), *(name.get("given") or ()), name.get("family")]
        if said := name.get("text") or " ".join(str(part) for part in parts if part):
            return short(str(said), 120)
    return ""


def _end(given: Any, at: str) -> str | None:
    """Return when a period ended, where that is before `at`."""
    end = given.get("end") if isinstance(given, Mapping) else None
    now, known = moment(at), interval(end) if isinstance(end, str) else None
    if now is None or known is None or known[1] is None or known[1] > now[0]:
        return None
    return str(end)


# --- the checks ----------------------------------------------------------------------------------


def _member_missing(team: Team, member: str) -> Iterator[Finding]:
    if not any(seat.who == f"Patient/{member}" for seat in team.sitting):
        yield found(
            "member-missing",
            "Collaboration always includes the member, and no team of this member names them.",
            team.teams,
        )


def _groups_missing(
    team: Team, plans: Sequence[Resource], shelf: Shelf, book: RuleBook, at: str
) -> Iterator[Finding]:
    current = [plan for plan in plans if is_current(plan) and _end(plan.get("period"), at) is None]
    wanting: list[tuple[Resource, str]] = [(plan, reference_to(plan)) for plan in current]
    wanting += [(order.tree, order.holder) for order in orders(current, shelf)]
    for need in book.needs:
        if team.of_group(need.group):
            continue
        verdicts = [(need.ask(tree), holder) for tree, holder in wanting]
        if holders := {holder for verdict, holder in verdicts if verdict == BROKEN}:
            yield found(
                "group-missing",
                f"{need.message} Nobody on the team is from {need.group}.",
                [*holders, *team.teams],
                about=need.group,
                outcome=need.outcome,
            )
        if holders := {holder for verdict, holder in verdicts if verdict == FAILED}:
            reason = f"The rule “{need.name}” could not be computed; a person has to look instead."
            yield found("rule", reason, holders, about=f"failed {need.name}", outcome="hold")


def _ended(team: Team) -> Iterator[Finding]:
    still = {seat.who for seat in team.sitting}
    for seat in team.seats:
        if seat.ended and seat.who not in still:
            reason = f"{_person(seat)} is on an active team, but took part only until {seat.ended}."
            yield found("participation-ended", reason, _evidence(seat), about=_about(seat))


def _unknown(team: Team) -> Iterator[Finding]:
    for seat in team.sitting:
        if seat.roles_unknown:
            role = f"“{seat.role}”" if seat.role else "without words"
            reason = f"The role {role} of {_person(seat)} could not be translated."
            about = f"{_about(seat)} {seat.role.casefold()}"
            yield found("role-unknown", reason, _evidence(seat), about=about)


def _twice(team: Team, shelf: Shelf) -> Iterator[Finding]:
    """Tell of two identities that share a name, and also a telecom, an identifier or the group."""
    first: dict[str, Seat] = {}
    for seat in team.sitting:
        first.setdefault(seat.who, seat)
    people = [seat for seat in first.values() if seat.name and "/" in seat.who]
    for one, other in combinations(people, 2):
        if _same_kind(one, other) and _same_name(one, other) and _shares(one, other, shelf):
            yield found(
                "participant-twice",
                f"{_person(one)} is on the team under two identifiers. If it is one person, "
                "merge the two.",
                [*_evidence(one), *_evidence(other)],
            )


def _same_kind(one: Seat, other: Seat) -> bool:
    return one.who.partition("/")[0] == other.who.partition("/")[0]


def _same_name(one: Seat, other: Seat) -> bool:
    return _bare(one.name) == _bare(other.name)


def _bare(name: str) -> frozenset[str]:
    """Return the parts of a name without titles and punctuation, in no order."""
    parts = "".join(c if c.isalnum() else " " for c in name.casefold()).split()
    return frozenset(parts) - {"dr", "mr", "mrs", "ms", "md", "phd", "prof"}


def _shares(one: Seat, other: Seat, shelf: Shelf) -> bool:
    if one.group is not None and one.group == other.group:
        return True
    first, second = (shelf.by_reference.get(seat.who, {}) for seat in (one, other))
    return any(
        _values(first.get(element)) & _values(second.get(element))
        for element in ("telecom", "identifier")
    )


def _values(listed: Any) -> set[tuple[str, str]]:
    return {
        (str(each.get("system")), str(each.get("value")))
        for each in (listed if isinstance(listed, list) else ())
        if each.get("value")
    }


def _person(seat: Seat) -> str:
    return seat.name or "A participant"


def _about(seat: Seat) -> str:
    return seat.who


def _evidence(seat: Seat) -> list[str]:
    person = [seat.who] if "/" in seat.who and not seat.who.startswith(("#", "http")) else []
    return [seat.team, *(each for each in person if "|" not in each)]
