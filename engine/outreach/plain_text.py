"""Words from outside made harmless for paper and mail: letters stay, what steers a device goes."""

from __future__ import annotations

import unicodedata

_JOINERS = "\u200c\u200d"
"""Marks without a picture of their own that some scripts and emoji need; all others go.

Among those others are the ones that turn the direction round, and hide text from the eye.
"""

_HIDDEN = {"Cc", "Cf", "Cs", "Cn", "Co"}
_MOST_MARKS = 4


def safe(text: str) -> str:
    """Return text with line ends as line feeds and without control, private or steering marks.

    Marks piled up on one letter (which would run over the lines above) are cut at four.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\t", "    ")
    text = text.replace("\u2028", "\n").replace("\u2029", "\n")
    kept, marks = [], 0
    for letter in text:
        category = unicodedata.category(letter)
        if category in _HIDDEN and letter not in ("\n", *_JOINERS):
            continue
        marks = marks + 1 if category in ("Mn", "Me") else 0
        if marks <= _MOST_MARKS:
            kept.append(letter)
    return "".join(kept)


def runs_leftward(text: str) -> bool:
    """Tell whether a paragraph is of a script that runs from right to left (Unicode rule P2)."""
    for letter in text:
        direction = unicodedata.bidirectional(letter)
        if direction in ("L", "R", "AL"):
            return direction != "L"
    return False
