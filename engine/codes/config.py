"""Diagnostic codes of config.yaml and of YAML files in general."""

from __future__ import annotations

from engine.codes import Code

CODES: tuple[Code, ...] = (
    Code(
        "C001",
        "A file cannot be read",
        "not-found",
        "A file that the project names is missing or its permissions forbid reading it.",
    ),
    Code(
        "C002",
        "A file is too large or too deep",
        "too-long",
        "Files that people write are read with limits on size, nesting and number of values, so "
        "that a hostile file cannot exhaust the machine. Split the file.",
    ),
    Code(
        "C003",
        "A file is not YAML",
        "structure",
        "The text is no YAML mapping. Most often an indent is off, or a text with ': ' in it needs "
        "quotes.",
    ),
    Code(
        "C004",
        "Anchors and tags are not read",
        "structure",
        "YAML anchors (&), aliases (*) and tags (!) can hide values or run code, so project files "
        "do without them. Write the value out, or use `extends:` in a mapping.",
    ),
    Code(
        "C005",
        "A key stands twice",
        "duplicate",
        "YAML would silently keep the last of two equal keys. Remove one of them.",
    ),
)
