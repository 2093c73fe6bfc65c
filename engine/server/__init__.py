"""The HTTP edge: FHIR in, FHIR out, every failure an OperationOutcome."""

from __future__ import annotations

from engine.server.app import create_app

__all__ = ["create_app"]
