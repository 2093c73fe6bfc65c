"""What a first review needs is ready before the first one is due."""

from __future__ import annotations

from dataclasses import replace

from town import loaded

from engine.coordination.warming import warm


def test_an_example_meets_what_reviews_use() -> None:
    """Timing, units and rules are all asked, so that the example disagrees on each."""
    assert warm(loaded()) >= 4


def test_an_engine_that_only_carries_warms_nothing() -> None:
    """Without coordination there is nothing to review."""
    project = loaded()
    assert warm(replace(project, config=replace(project.config, coordination=None))) == 0
