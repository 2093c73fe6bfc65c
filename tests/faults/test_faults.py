"""The short run of the fault harness: real processes, killed at named points and at any time."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from harness import Harness, markdown

SECONDS = float(os.environ.get("CARELANE_FAULTS_SECONDS", "25"))


def test_nothing_is_lost_reordered_or_sent_undecided(tmp_path: Path) -> None:
    """Killed again and again, the engine loses nothing, keeps order and decides each send."""
    url = f"sqlite:///{tmp_path / 'record.db'}"
    report = asyncio.run(Harness(url, seed=1, seconds=SECONDS).run())
    assert report.breaches() == (), markdown(report)
    assert report.kills
    assert report.acknowledged
    assert report.states["delivered"]
