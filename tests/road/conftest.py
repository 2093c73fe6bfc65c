"""Fixtures of the road's tests: a town in which some systems keep siblings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from empty_record import empty_record
from sibling_messages import Build
from sibling_town import project_with
from town import Town

from engine.store import Store
from engine.testing import ManualClock


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Build]:
    """Build a town in which mercy keeps siblings, hub does not, and others as they are named."""
    stores: list[Store] = []

    def town(*others: tuple[str, str, str], guarded: bool = False) -> Town:
        project = project_with(others, guarded)
        clock = ManualClock()
        store = Store.open(empty_record(tmp_path / f"{len(stores)}.db"), clock=clock)
        stores.append(store)
        return Town(project, store, clock)

    yield town
    for store in stores:
        store.close()
