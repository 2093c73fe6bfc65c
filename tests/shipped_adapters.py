"""The adapters of this repository's mappings, loaded once for every test of a process."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from engine.diagnostics import has_errors
from engine.transform.adapter import Adapters, load_adapters

MAPPINGS = Path(__file__).resolve().parent.parent / "mappings"


@cache
def shipped_adapters() -> Adapters:
    """Return them; the mappings have no mistake."""
    adapters, diagnostics = load_adapters(MAPPINGS)
    assert not has_errors(diagnostics), [item.text() for item in diagnostics]
    return adapters
