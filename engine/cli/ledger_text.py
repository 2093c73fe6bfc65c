"""A trace in plain words, for a person who has to answer for it."""

from __future__ import annotations

from collections.abc import Iterator

from engine.audit import Record
from engine.cli.decision_text import decision_lines
from engine.ledger import DeliveryTrace, Trace, UnitTrace
from engine.store import AttemptRow


def trace_lines(trace: Trace) -> Iterator[str]:
    """Yield the story of one message, in the order in which it happened."""
    row = trace.message
    yield f"Message {row.id}"
    yield f"  received {row.received} from {row.system} ({row.interaction})"
    yield f"  {row.state}, answered with HTTP {row.status}"
    if row.correlation:
        yield f"  correlation {row.correlation}"
    for unit in trace.units:
        yield ""
        yield from _unit(unit)
    yield ""
    yield f"Ledger: {len(trace.records)} records"
    yield from (_record(record) for record in trace.records)


def _unit(trace: UnitTrace) -> Iterator[str]:
    row = trace.unit
    yield f"Entry {row.entry}: {row.type}, {row.state}{_because(row.reason)}"
    yield f"  unit {row.id}"
    if row.resource:
        yield f"  became {row.resource}" + (f", version {row.version}" if row.version else "")
    if row.member:
        yield f"  about member {row.member}"
    if row.mapping:
        yield f"  read by mapping {row.mapping} {row.mapping_version or ''}".rstrip()
    for key in row.waiting_on:
        yield f"  waits until the crosswalk knows {key}"
    for note in row.notes:
        place = f" at {note['path']}" if note.get("path") else ""
        yield f"  note {note['code']}{place}: {note['message']}"
    for decision in trace.decisions:
        yield from decision_lines(decision, "  ", "at acceptance")
    for delivery in trace.deliveries:
        yield from _delivery(delivery)


def _delivery(trace: DeliveryTrace) -> Iterator[str]:
    row = trace.delivery
    yield f"  Delivery to {row.destination}: {row.state}{_because(row.reason)}"
    yield f"    delivery {row.id}, number {row.sequence} of its line, {row.attempts} attempts"
    if row.state == "waiting":
        yield f"    due {row.due}"
    for decision in trace.decisions:
        yield from decision_lines(decision, "    ", "at sending")
    yield from (f"    {_attempt(attempt)}" for attempt in trace.attempts)


def _attempt(row: AttemptRow) -> str:
    status = f"HTTP {row.status}" if row.status else "no answer"
    return f"Attempt {row.number}, {row.started} to {row.ended}: {status}, {row.outcome}"


def _record(record: Record) -> str:
    return f"  {record.sequence:>8}  {record.at}  {record.kind}  by {record.actor}"


def _because(reason: str | None) -> str:
    return f" ({reason})" if reason else ""
