"""The member view: everything about one member on one page, as one asker may see it now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.coordination.member_record import MemberRecord, record_of
from engine.coordination.review import groups_of, titles_of
from engine.coordination.summary_telling import Telling, telling
from engine.fhir.dates import interval, moment
from engine.message import Resource
from engine.outreach.plain_text import safe
from engine.project import Project
from engine.rules.finding import KINDS, kind_of
from engine.rules.orders import OVER, Shelf, is_current, orders, reference_to, short, target_of
from engine.rules.rulebook import GROUPS
from engine.rules.team import name_of, one_team
from engine.store import Transaction
from engine.transform.crosswalk import reference_key

RECENT = 90
"""Communications of so many days are recent."""

MOST_ROWS = 40
"""How many rows a section shows; a page that a clinician reads in a minute has fewer."""

_LONGEST = 240
_DAY = 86_400_000_000
_GRAVITY = {"high": 0, "moderate": 1, "low": 2}


@dataclass(frozen=True, slots=True)
class Row:
    """Hold one line: what it says first, the rest, whose it is, and how grave."""

    head: str
    detail: str = ""
    source: str = ""
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """Hold one part of the page; `entries` are the references it rests on."""

    code: str
    title: str
    rows: Sequence[Row]
    entries: Sequence[str] = ()
    empty: str = "Nothing is known here, or not for this reader."
    more: int = 0


@dataclass(frozen=True, slots=True)
class Summary:
    """Hold the member view: who it is about, for whom, when, and its sections."""

    member: str
    name: str
    born: str
    gender: str
    reader: str
    at: str
    patient: Resource
    sections: Sequence[Section]
    told: Telling = field(repr=False)


def summary_for(tx: Transaction, project: Project, system: str, id: str) -> Summary | None:
    """Return the member view for `system`, or None where it does not know such a member.

    `id` is the asker's own id of the Patient, or the canonical one. What was decided about each
    resource of the others stands in the ledger afterwards.
    """
    member = _member(tx, project, system, id)
    row = tx.resources.get("Patient", member) if member else None
    if member is None or row is None or row.deleted:
        return None
    record = record_of(tx, project, member)
    told = telling(tx, project, system, record)
    patient = next((p for p in record.of("Patient") if p["id"] == member), None)
    if patient is None:
        return None
    body = {
        "member": f"Patient/{member}",
        "told": len(told.told),
        "decisions": [dict(decision) for decision in told.decisions],
    }
    tx.audit.append("summary.told", body, actor=system)
    return _Writer(project, system, record, told, tx).summary(patient)


def _member(tx: Transaction, project: Project, system: str, id: str) -> str | None:
    """Return the canonical id of a Patient that the asker knows; the operator knows all."""
    own = tx.crosswalk.resolve([reference_key(system, f"Patient/{id}")])
    if found := next(iter(own.values()), None):
        return found
    entity = tx.crosswalk.current(id) or id
    if project.config.systems[system].reads == "all":
        return entity
    known = tx.crosswalk.known([entity]).get(entity, ())
    return entity if any(key.system == system for key in known) else None


class _Writer:
    """Write the sections from what may be told."""

    def __init__(
        self,
        project: Project,
        system: str,
        record: MemberRecord,
        told: Telling,
        tx: Transaction,
    ) -> None:
        self.record = record
        self.told = told
        self.at = tx.now
        self.now = (moment(tx.now) or (0, None))[0]
        self.titles = titles_of(project, record)
        self.organizations = {
            (each.organization.system, each.organization.value): each.title or name
            for name, each in project.config.systems.items()
        }
        self.groups = groups_of(project)
        self.waiting = _waiting(tx, record)
        self.reader = project.config.systems[system].title or system
        self.shelf = Shelf([*told.told.values(), *record.people, *_family(project, system, record)])

    def summary(self, patient: Resource) -> Summary:
        return Summary(
            member=self.record.member,
            name=_words(name_of(patient) or "Name not known", 120),
            born=str(patient.get("birthDate", "not known")),
            gender=str(patient.get("gender", "not known")),
            reader=self.reader,
            at=self.at,
            patient=patient,
            sections=[
                self._section("findings", "To look at", self._findings(), "DetectedIssue",
                              "No finding is open."),
                self._section("team", "Care team", self._team(), "CareTeam"),
                self._section("plans", "Plans and services", self._plans(), "CarePlan"),
                self._section("consents", "Consents in force", self._consents(), "Consent",
                              "No consent in force is known here, or not for this reader."),
                self._section("communications", "Communications", self._communications(),
                              "Communication"),
                self._section("requests", "Open requests", self._requests(),
                              "Task CommunicationRequest ServiceRequest MedicationRequest"),
            ],
            told=self.told,
        )  # fmt: skip

    def _section(
        self,
        code: str,
        title: str,
        rows: Iterator[tuple[str, Row]],
        types: str,
        empty: str | None = None,
    ) -> Section:
        listed = list(rows)
        named = {reference for reference, _ in listed if reference.partition("/")[0] in types}
        shown = [row for _, row in listed[:MOST_ROWS]]
        more = {"empty": empty} if empty else {}
        return Section(
            code, title, shown, sorted(named), more=max(0, len(listed) - MOST_ROWS), **more
        )

    def _source(self, reference: str) -> str:
        return self.titles.get(reference, "")

    # --- sections ------------------------------------------------------------------------------

    def _team(self) -> Iterator[tuple[str, Row]]:
        people = [*self.record.people, *self.record.of("Patient")]
        team = one_team(self.told.of("CareTeam"), people, self.at, self.groups)
        seen = set()
        for group in (*GROUPS, None):
            for seat in team.of_group(group):
                key = (seat.who, seat.role)
                if key not in seen and seat.who != f"Patient/{self.record.member}":
                    seen.add(key)
                    label = (group or "other").capitalize()
                    name = seat.name or "A participant without a name"
                    yield seat.team, Row(name, seat.role, self._source(seat.team), label)
        if team.teams and any(seat.who == f"Patient/{self.record.member}" for seat in team.sitting):
            yield team.teams[0], Row("The member", "takes part", "", "Member")

    def _plans(self) -> Iterator[tuple[str, Row]]:
        plans = [plan for plan in self.told.of("CarePlan") if is_current(plan)]
        asked = orders(plans, self.shelf)
        for plan in plans:
            reference = reference_to(plan)
            own = [order for order in asked if order.holder == reference]
            goals = [self.shelf.find(each) for each in plan.get("goal") or ()]
            yield (
                reference,
                Row(
                    _words(
                        plan.get("title") or plan.get("description") or "A plan without a title"
                    ),
                    _period(plan.get("period")),
                    self._source(reference),
                    "Plan",
                ),
            )
            for goal in filter(None, goals):
                yield reference_to(goal), Row(_words(_text(goal.get("description"))), mark="Goal")
            for order in own:
                told = [order.rate.said] if order.rate else []
                told += [f"{order.session.said} each"] if order.session else []
                told += [order.amount.said] if order.amount else []
                head = f"Not to be done: {order.name}" if order.prohibited else order.name
                detail = ", ".join(dict.fromkeys(told))
                yield reference, Row(head or "A service", detail, mark="Service")

    def _findings(self) -> Iterator[tuple[str, Row]]:
        issues = [i for i in self.told.of("DetectedIssue") if i.get("status") == "preliminary"]
        for issue in sorted(issues, key=lambda i: _GRAVITY.get(str(i.get("severity")), 3)):
            code = kind_of(issue)
            title = KINDS[code].title if code and code in KINDS else _text(issue.get("code"))
            yield (
                reference_to(issue),
                Row(
                    _words(title),
                    _words(issue.get("detail", ""), 400),
                    "",
                    str(issue.get("severity")),
                ),
            )

    def _consents(self) -> Iterator[tuple[str, Row]]:
        for consent in self.told.of("Consent"):
            provision = consent.get("provision") or {}
            lasts = interval(str((provision.get("period") or {}).get("end", "")))
            over = lasts is not None and lasts[1] is not None and lasts[1] <= self.now
            if consent.get("status") != "active" or over:
                continue
            since = str(consent.get("dateTime", ""))[:10]
            lasting = _period(provision.get("period"))
            lasting = f"in force {lasting}" if lasting else ""
            reference = reference_to(consent)
            yield (
                reference,
                Row(
                    self._allowance(provision),
                    "; ".join(filter(None, (f"signed {since}" if since else "", lasting))),
                    self._source(reference),
                    "Consent",
                ),
            )

    def _allowance(self, provision: Mapping[str, Any]) -> str:
        """Return who may tell whom under a provision, in words."""
        told_by: list[str] = []
        told_to: list[str] = []
        others: list[str] = []
        for actor in provision.get("actor") or ():
            codings = (actor.get("role") or {}).get("coding") or ()
            codes = {coding.get("code") for coding in codings}
            group = told_to if "IRCP" in codes else told_by if "performer" in codes else others
            group.append(self._called(actor.get("reference")))
        denied = provision.get("type") == "deny"
        if told_by and told_to and not others:
            verb = "may not tell" if denied else "may tell"
            return f"{_listed(told_by)} {verb} {_listed(told_to)}"
        who = _listed([*told_by, *told_to, *others])
        kind = "Does not allow disclosure" if denied else "Allows disclosure"
        return f"{kind}: {who}" if who else kind

    def _communications(self) -> Iterator[tuple[str, Row]]:
        for each in sorted(self.told.of("Communication"), key=self._urgency):
            reference = reference_to(each)
            state = self._state(each)
            sent = interval(str(each.get("sent", "")))
            if state == _SENT and sent is not None and self.now - sent[0] > RECENT * _DAY:
                continue
            said = next(
                (p["contentString"] for p in each.get("payload") or () if p.get("contentString")),
                _text(each.get("topic")) or _text(next(iter(each.get("category") or ()), {})),
            )
            to = ", ".join(filter(None, (self._called(r) for r in each.get("recipient") or ())))
            yield reference, Row(
                _words(said or "A communication", 100),
                "; ".join(filter(None, (str(each.get("sent", ""))[:10], f"to {_words(to, 120)}"
                                        if to else ""))),
                self._source(reference),
                state,
            )  # fmt: skip

    def _state(self, communication: Resource) -> str:
        """Return how a Communication stands: by its deliveries, else by what its record says."""
        waiting = self.waiting.get(reference_to(communication))
        return _STATES.get(waiting or str(communication.get("status")), _SENT)

    def _urgency(self, communication: Resource) -> tuple[int, str]:
        """Sort what is not told yet first, then the latest."""
        sent = str(communication.get("sent", ""))
        return int(self._state(communication) == _SENT), "".join(chr(255 - ord(c)) for c in sent)

    def _requests(self) -> Iterator[tuple[str, Row]]:
        planned = {
            target_of(activity.get("reference"))
            for plan in self.told.of("CarePlan")
            for activity in plan.get("activity") or ()
        }
        for each in self.told.of(
            "Task", "CommunicationRequest", "ServiceRequest", "MedicationRequest"
        ):
            reference = reference_to(each)
            if str(each.get("status")) in OVER | {"draft", "failed"} or reference in planned:
                continue
            concept = each.get("code") or each.get("medicationCodeableConcept")
            head = _text(concept) or _text(next(iter(each.get("category") or ()), {}))
            due = str((each.get("restriction") or {}).get("period", {}).get("end", ""))[:10]
            owner = self._called(each.get("owner"))
            said = (f"for {owner}" if owner else "", f"due {due}" if due else "", each["status"])
            name = _words(head or each.get("description") or "A request", 160)
            mark = _KIND[each["resourceType"]]
            yield reference, Row(name, "; ".join(filter(None, said)), self._source(reference), mark)

    def _called(self, reference: Any) -> str:
        if not isinstance(reference, dict):
            return ""
        identifier = reference.get("identifier") or {}
        key = (str(identifier.get("system")), str(identifier.get("value")))
        found = name_of(self.shelf.find(reference)) or self.organizations.get(key)
        return _words(found or reference.get("display") or identifier.get("value") or "", 80)


_SENT = "Sent"
_STATES = {
    "waiting": "Waiting",
    "held": "Held",
    "preparation": "Waiting",
    "in-progress": "Under way",
    "on-hold": "Held",
    "stopped": "Not reached",
    "not-done": "Not reached",
    "entered-in-error": "Withdrawn",
}
_KIND = {
    "Task": "Task",
    "CommunicationRequest": "Records",
    "ServiceRequest": "Service",
    "MedicationRequest": "Medication",
}


def _family(project: Project, system: str, record: MemberRecord) -> Iterator[Resource]:
    """Yield the related persons whose names the asker knows: its own, and all for the operator."""
    operator = project.config.systems[system].reads == "all"
    for person in record.of("RelatedPerson"):
        if operator or record.systems.get(reference_to(person)) == system:
            yield person


def _waiting(tx: Transaction, record: MemberRecord) -> dict[str, str]:
    """Return which Communications wait to leave or are held, by reference."""
    members = list(tx.crosswalk.same(record.member))
    return {
        f"{row.type}/{row.envelope['entity']}": state
        for state in ("waiting", "held")
        for row in tx.deliveries.search(state=state, members=members, limit=1000)
        if row.type == "Communication"
    }


def _listed(names: Sequence[str]) -> str:
    return _words(", ".join(dict.fromkeys(filter(None, names))), 160)


def _text(concept: Any) -> str:
    if not isinstance(concept, dict):
        return ""
    displays = (coding.get("display") for coding in concept.get("coding") or ())
    codes = (coding.get("code") for coding in concept.get("coding") or ())
    return str(next(filter(None, (concept.get("text"), *displays, *codes)), ""))


def _words(text: Any, most: int = _LONGEST) -> str:
    """Return a text on one line, not too long, without what steers a device or turns directions."""
    return short(safe(str(text)), most)


def _period(period: Any) -> str:
    if not isinstance(period, dict):
        return ""
    start, end = str(period.get("start", ""))[:10], str(period.get("end", ""))[:10]
    if start and end:
        return f"{start} to {end}"
    return f"since {start}" if start else f"until {end}" if end else ""
