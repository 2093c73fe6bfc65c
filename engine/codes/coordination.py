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
    Code(
        "G010",
        "A template of a notice is missing",
        "required",
        "Notices to members are written from mappings/notifications/<event>.yaml and notice.yaml, "
        "each with a text in English (en) and Spanish (es), and in any other language you like.",
    ),
    Code(
        "G011",
        "A template of a notice is not a text by language",
        "structure",
        "A template is a mapping from the code of a language to a text: `en: Your plan changed.`",
    ),
    Code(
        "G012",
        "A placeholder of a notice means nothing",
        "invalid",
        "A template may use the placeholders listed with this problem, in braces, and no others; "
        "notice.yaml needs {events}. None of them tells what a member is treated for.",
    ),
)
