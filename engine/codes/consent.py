"""Diagnostic codes of the consent room."""

from __future__ import annotations

from engine.codes import Code

CODES: tuple[Code, ...] = ()
