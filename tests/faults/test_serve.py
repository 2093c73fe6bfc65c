"""`carelane serve` as it is run: processes that take in, one that delivers, one above them."""

from __future__ import annotations

import os

from command import commanded
from faults_report import markdown

SECONDS = float(os.environ.get("CARELANE_FAULTS_SECONDS", "2"))


def test_the_command_killed_at_any_time_loses_nothing() -> None:
    """Whichever of its processes is killed, nothing is lost, and none outlives the first."""
    report = commanded(postgresql=False, seconds=SECONDS, members=8)
    assert report.breaches() == (), markdown([report])
    assert report.kills
    assert report.states["delivered"]
