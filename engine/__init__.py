"""Carelane: FHIR for coordination of care, from dialect to dialect, under consent.

    receive -> parse -> validate -> identify -> canonical -> judge -> route -> outbox -> deliver
       |         |         |           |            |          |        |         |         |
    server/   parse.py  validate.py  crosswalk  transform/   rules/   road/    store/   deliver/

`engine.road.pipeline` states the order of the stages; everything in the ledger.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from engine.project import Project, load

__all__ = ["Project", "__version__", "load"]


def __getattr__(name: str) -> Any:
    if name in ("Project", "load"):
        return getattr(importlib.import_module("engine.project"), name)
    raise AttributeError(name)
