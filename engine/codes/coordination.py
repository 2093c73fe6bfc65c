"""Diagnostic codes of coordination: records requests and notifications."""

from __future__ import annotations

from engine.codes import Code

CODES: tuple[Code, ...] = (
    Code(
        "G001",
        "The records request is not known",
        "not-found",
        "No Task on record under this id is a request for records. `carelane records list` shows "
        "those there are.",
    ),
    Code(
        "G002",
        "There is nothing to review",
        "business-rule",
        "A review says that a person looked at an answer, so it needs one: the request must be "
        "answered (Task.status completed) or refused (rejected, failed), and not reviewed yet.",
    ),
    Code(
        "G003",
        "The member is not known",
        "not-found",
        "No member is known by this canonical id, reference or identifier (`system|value`). "
        "`carelane crosswalk show` tells what is known.",
    ),
    Code(
        "G004",
        "Nobody asks",
        "required",
        "The engine writes requests on behalf of one system: name it under `coordination.acting` "
        "in config.yaml.",
    ),
)
