"""Diagnostic codes of the consent room."""

from __future__ import annotations

from engine.codes import Code

CODES: tuple[Code, ...] = (
    Code(
        "N001",
        "A part of a sensitivity table is missing",
        "required",
        "A table of sensitive codes needs `sensitivity` (its name), `version`, `systems` and "
        "`topics`; each topic needs `title`, `labels`, `confidentiality` and `codes`.",
    ),
    Code(
        "N002",
        "A sensitivity table names what it does not have",
        "not-found",
        "A key, a code system or a topic is not known. A misspelt system would leave its codes "
        "unlabelled, so the table does not load.",
    ),
    Code(
        "N003",
        "A value in a sensitivity table cannot be used",
        "value",
        "Codes are text or a range of three-character categories such as F12-F16; `match` is "
        "exact or prefix; `confidentiality` is one of U, L, M, N, R, V.",
    ),
    Code(
        "N004",
        "A code stands twice in a topic",
        "duplicate",
        "The same code is listed twice under one topic. Remove one of the two.",
    ),
)
