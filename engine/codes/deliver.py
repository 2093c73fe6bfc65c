"""Diagnostic codes of the deliver room."""

from __future__ import annotations

from engine.codes import Code

CODES: tuple[Code, ...] = ()
