"""Notices to members: what happened is gathered by day, and told to them or who acts for them.

Rules, in this order: nothing without a permit at sending (the notice takes the road); who is a
minor, or has a representative, is told through those with authority (CONSENT.md, "Signed by");
what is labelled as sensitive is not told to anybody on behalf of a minor: a minor's confidential
services are not reported to the guardian, nor to an address that the guardian may read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

from engine.clock import after
from engine.config.notifications import Notifications
from engine.coordination.notification_templates import (
    FOLDER,
    FRAME,
    Templates,
    load_templates,
)
from engine.coordination.producing import NOBODY, produce, produced_id
from engine.fhir.dates import moment
from engine.gather import gather_canonical, renamed, stored
from engine.message import Reject, Resource
from engine.project import Project
from engine.road.facts import Facts, targets_of
from engine.road.judge import minor
from engine.rules.consent.codings import ACT_CODE, CONFIDENTIALITY
from engine.rules.consent.directory import Directory
from engine.rules.consent.parties import name_of
from engine.rules.consent.signing import carries_authority
from engine.rules.elements import walk
from engine.rules.labels import label
from engine.rules.security_label import inline_labels, resource_labels
from engine.store import TimerRow, Transaction
from engine.transform.crosswalk import Links

KIND = "notice"
_DAY = 86_400
_CONFIDENTIAL = frozenset({"R", "V"})
_MOST_ALIKE = 20
"""How many resources with the same event on the same day a notice looks at."""


def notify(tx: Transaction, project: Project, member: str, event: str, what: str) -> None:
    """Let a member hear of an event about a resource (`Type/id`), with today's notice or the next.

    The same event about the same resource is told once a day at most.
    """
    settings = settings_of(project)
    if settings is None or event not in settings.events:
        return
    member = tx.crosswalk.current(member) or member
    said = {"event": event, "what": what, "on": tx.now[:10]}
    for key, due in _notices(member, tx.now, settings.hour):
        timer = tx.timers.get(key)
        if timer is None:
            tx.timers.set(key, KIND, due, {"member": member, "events": [said]})
            return
        known: list[Any] = timer.body["events"]
        if any(one["event"] == event and one["what"] == what for one in known):
            return
        if timer.state == "waiting":
            alike = [one for one in known if (one["event"], one["on"]) == (event, said["on"])]
            if len(alike) < _MOST_ALIKE:
                tx.timers.amend(key, {**timer.body, "events": [*known, said]})
            return


def settings_of(project: Project) -> Notifications | None:
    """Return the settings, or None where nobody is notified."""
    coordination = project.config.coordination
    return coordination.notifications if coordination is not None else None


def _notices(member: str, now: str, hour: int) -> Iterator[tuple[str, str]]:
    """Yield key and due instant of today's notice, then of each day's that follows.

    The next day's has gone out already where the clock was set back.
    """
    yield f"{KIND} {member} {now[:10]}", now
    for days in count(1):
        day = after(now, days * _DAY)[:10]
        yield f"{KIND} {member} {day}", f"{day}T{hour:02}:00:00.000000Z"


def send_notice(tx: Transaction, project: Project, timer: TimerRow) -> None:
    """Write the notice of one day, in the language of each who is to be told."""
    settings, coordination = settings_of(project), project.config.coordination
    if settings is None or coordination is None:
        return
    member = str(timer.body["member"])
    facts = gather_canonical(tx, project, _about(member), at=tx.now)
    people = [*_related(tx, member)]
    supporting = [*facts.supporting.values(), *people]
    patient = facts.supporting.get(f"Patient/{member}") or {}
    underage = minor(member, project.policies[-1], facts) or "birthDate" not in patient
    events = [
        one
        for one in timer.body["events"]
        if not (underage and is_confidential(tx, project, str(one["what"])))
    ]
    if not events:
        tx.audit.append("notice.withheld", {"reason": "nothing that may be told"})
        return
    told = whom(member, supporting, people, project, facts, underage=underage)
    if not told:
        tx.audit.append("notice.withheld", {"reason": "nobody with authority is known"})
    templates = _templates(project.config.mappings / FOLDER)
    for person in told:
        notice = _notice(project, timer, member, person, events, settings, templates)
        to = settings.through or NOBODY
        made = produce(tx, project, coordination.acting, [notice], cause=timer.key, to=to)
        refused = isinstance(made.outcomes[0], Reject)
        kind = "notice.refused" if refused else "notice.written"
        tx.audit.append(kind, {"notice": f"Communication/{notice['id']}", "count": len(events)})


def _about(member: str) -> Resource:
    """Return what is judged about the member, to read everything that a judgement reads."""
    subject = {"reference": f"Patient/{member}"}
    return {"resourceType": "Communication", "id": member, "subject": subject}


def _related(tx: Transaction, member: str) -> Iterator[Resource]:
    for row in tx.resources.of_member("RelatedPerson", tx.crosswalk.same(member)):
        if not row.deleted:
            yield renamed(tx, stored(row))


def whom(
    member: str,
    supporting: list[Resource],
    people: list[Resource],
    project: Project,
    facts: Facts,
    *,
    underage: bool,
) -> list[Resource]:
    """Return those who hear about a member: with authority over them, else the adult member."""
    now = moment(facts.at)
    patient = facts.supporting.get(f"Patient/{member}")
    if now is None or patient is None or _has_died(patient):
        return []
    policy = project.policies[-1]
    directory = Directory(supporting, now, policy.zone)
    keys = name_of({"reference": f"Patient/{member}"}).keys
    acting = [
        person
        for person in people
        if carries_authority(
            name_of({"reference": f"RelatedPerson/{person['id']}"}), keys, directory, policy, now
        )
    ]
    return acting or ([] if underage else [patient])


def _has_died(patient: Resource) -> bool:
    return patient.get("deceasedBoolean") is True or "deceasedDateTime" in patient


def is_confidential(tx: Transaction, project: Project, what: str) -> bool:
    """Tell whether a resource is labelled as sensitive, by itself or by its codes.

    What is not on record any more cannot be looked at, so it counts as sensitive.
    """
    kind, _, id = what.partition("/")
    row = tx.resources.get(kind, id)
    if row is None:
        return True
    resource = renamed(tx, stored(row))
    names = [{"reference": name} for name in (what, *targets_of(resource))]
    seen_whole = {"resourceType": "Communication", "id": id, "about": names}
    facts = gather_canonical(tx, project, seen_whole, at=tx.now)
    for one in (resource, *facts.told_by(seen_whole)):
        if one["resourceType"] in ("Consent", "Patient", "RelatedPerson"):
            continue
        seen = label(one, project.labels, minor=True) if project.labels else one
        found = set(resource_labels(seen))
        for node in walk(seen):
            found |= inline_labels(node)
        if any(
            system == ACT_CODE or (system == CONFIDENTIALITY and code in _CONFIDENTIAL)
            for system, code in found
        ):
            return True
    return False


@cache
def _templates(folder: Path) -> Templates:
    templates, problems = load_templates(folder)
    if templates is None:
        raise ValueError(f"templates are not in order: {[one.code for one in problems]}")
    return templates


def _notice(
    project: Project,
    timer: TimerRow,
    member: str,
    person: Resource,
    events: list[Mapping[str, str]],
    settings: Notifications,
    templates: Templates,
) -> Resource:
    reference = f"{person['resourceType']}/{person['id']}"
    language = templates.language(language_of(person), settings.language)
    acting = str(project.config.coordination and project.config.coordination.acting)
    organization = project.config.systems[acting].organization
    lines = [templates.render(one["event"], language, {"date": one["on"]}) for one in events]
    values = {
        "events": "\n".join(f"- {line}" for line in dict.fromkeys(lines)),
        "organization": organization.name or project.config.systems[acting].title or acting,
    }
    return {
        "resourceType": "Communication",
        "id": produced_id(timer.key, reference),
        "meta": {"security": [{"system": CONFIDENTIALITY, "code": "N"}]},
        "language": language,
        "status": "in-progress",
        "category": [{"coding": [{
            "system": "http://terminology.hl7.org/CodeSystem/communication-category",
            "code": "notification",
        }]}],
        "subject": {"reference": f"Patient/{member}"},
        "recipient": [{"reference": reference}],
        "sender": project.organization(acting, Links()),
        "payload": [{"contentString": templates.render(FRAME, language, values)}],
    }  # fmt: skip


def language_of(person: Resource) -> str | None:
    """Return the language of a Patient or RelatedPerson: the preferred one, else the first."""
    spoken = [one for one in person.get("communication", ()) if isinstance(one, Mapping)]
    preferred = [one for one in spoken if one.get("preferred") is True]
    for one in preferred or spoken:
        for coding in (one.get("language") or {}).get("coding", ()):
            if isinstance(coding.get("code"), str):
                return str(coding["code"]).partition("-")[0].lower()
    return None
