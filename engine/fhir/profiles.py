"""Profiles, each compiled once into a list of checks."""

from __future__ import annotations

from typing import Any

from engine.diagnostics import Diagnostic


class Profile:
    """Check resources against one StructureDefinition."""

    def check(self, resource: dict[str, Any]) -> list[Diagnostic]:
        raise NotImplementedError
