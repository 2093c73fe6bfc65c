"""Held units on their way again: once what they waited for is linked, or a person says so."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from engine.carried import with_carried
from engine.coordination import outreach
from engine.coordination.producing import is_produced, produce_again
from engine.coordination.reactions import KIND as REACT
from engine.coordination.reactions import reaction_key
from engine.gather import gather
from engine.keeping import follow, keep_unit
from engine.message import Message
from engine.parse import Limits, parse
from engine.project import Project
from engine.road.entries import Submission, split
from engine.road.pipeline import run_again
from engine.road.trip import Trip
from engine.store import Transaction, UnitRow
from engine.transform.crosswalk import Key
from engine.wholes import last_heard, with_wholes


def release_waiting(tx: Transaction, project: Project, keys: Iterable[Key]) -> int:
    """Run the units again that waited for any of these keys; return how many passed."""
    waiting = tx.units.waiting_for([str(key) for key in keys])
    return sum(release(tx, project, row) for row in waiting)


def release(tx: Transaction, project: Project, row: UnitRow) -> bool:
    """Run a held unit again as things stand now; tell whether it left its hold.

    What came from a system that the project no longer has stays held: nobody knows its dialect.
    """
    kept = tx.messages.get(row.message_id)
    if kept is None or kept.body is None or row.state != "held":
        return False
    if kept.system not in project.config.systems:
        return False
    message = Message(
        kept.id, kept.system, kept.interaction, kept.key, kept.digest, kept.received, kept.body
    )
    submission = _submission(kept.body)
    if submission is None:
        return False
    if _overtaken(tx, project, row, message, submission):
        tx.units.move(replace(row, state="rejected", reason="overtaken"), "held")
        tx.audit.append("unit.rejected", {"reason": "overtaken"}, message=kept.id, unit=row.id)
        return True
    if is_produced(message):
        travelled = produce_again(tx, project, message, row.entry)
    else:
        facts = gather(tx, project, message.system, submission.units, at=tx.now)
        facts = with_wholes(tx, project, message, submission.units, facts)
        facts = with_carried(tx, project, message.system, submission.units, facts)
        travelled = run_again(submission, row.entry, Trip(project, facts, message.system))
    outcome = travelled.outcomes[0]
    changed = keep_unit(tx, message, outcome, row.id)
    tx.units.move(changed, "held")
    follow(tx, message, outcome, changed, None)
    _react(tx, project, message, changed)
    if travelled.links:
        tx.crosswalk.link(dict(travelled.links), source=message.system)
        release_waiting(tx, project, travelled.links)
    return changed.state != "held"


def _react(tx: Transaction, project: Project, message: Message, unit: UnitRow) -> None:
    """Let coordination see a unit that was held when the rest of its message was reacted to."""
    if project.config.coordination is None or unit.state not in ("accepted", "routed"):
        return
    if is_produced(message):
        if unit.type == "Communication":
            outreach.plan(tx, project, unit)
        return
    key = f"{reaction_key(message.id)} {unit.id}"
    tx.timers.set(key, REACT, tx.now, {"message": message.id, "unit": unit.id})


def _submission(body: bytes) -> Submission | None:
    parsed = parse(body, Limits(len(body) + 1))
    submission = split(parsed.tree) if parsed.tree is not None else None
    return submission if isinstance(submission, Submission) else None


def _overtaken(
    tx: Transaction, project: Project, row: UnitRow, message: Message, submission: Submission
) -> bool:
    """Tell whether a later version of the same resource was accepted while this one was held.

    The version that it made itself (a held Consent counts at once) is none, nor is an older one
    that was released only just now. Of siblings each has its own: others of the same whole overtake
    nothing.
    """
    if row.resource is None:
        return False
    type_name, _, entity = row.resource.partition("/")
    current = tx.resources.get(type_name, entity)
    if current is None or current.version == row.version:
        return False
    if project.siblings and (message.system, type_name) in project.siblings:
        return last_heard(project, current, message, submission, row) > message.received
    made = tx.messages.received_with(row.resource, current.version)
    return (made or current.at) > message.received
