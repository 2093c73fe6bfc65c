"""The short run of the trials: consents revoked while the engine sends to bad destinations."""

from __future__ import annotations

import asyncio
from pathlib import Path

from revocations import Trials

TRIALS = 40


def test_nothing_is_sent_by_a_decision_after_the_revocation(tmp_path: Path) -> None:
    """Whenever a revocation lands, nothing leaves by a later decision, and the ledger says why."""
    report = asyncio.run(Trials(tmp_path, TRIALS).run())
    assert report.breaches == [], report.text()
    assert report.trials == TRIALS
    withheld = [count for name, count in report.outcomes.items() if name.startswith("withheld")]
    assert sum(withheld) >= 5, report.text()
    assert report.outcomes["delivered, every attempt permitted before the revocation"]
