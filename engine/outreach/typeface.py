"""The typefaces of documents: which scripts can be shown, and what stands in for others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path

from fontTools.ttLib import TTFont

MAIN = "NotoSans"
OTHERS = (
    "NotoSansArabic",
    "NotoSansHebrew",
    "NotoEmoji",
    "NotoSansSymbols",
    "NotoSansDevanagari",
    "NotoSansBengali",
    "NotoSansGujarati",
    "NotoSansGurmukhi",
    "NotoSansTamil",
    "NotoSansTelugu",
    "NotoSansKannada",
    "NotoSansMalayalam",
    "NotoSansSinhala",
    "NotoSansThai",
    "NotoSansLao",
    "NotoSansKhmer",
    "NotoSansMyanmar",
    "NotoSansArmenian",
    "NotoSansGeorgian",
    "NotoSansEthiopic",
)
"""The Noto typefaces (SIL Open Font License) that `manimgx-fonts` carries, by script."""

_UNSEEN = "\u00ad\u200b\u2060\ufe0e\ufe0f"
_INVISIBLE = "\n \u00a0\u00ad\u200b\u200c\u200d\ufe0e\ufe0f\u2060"


def file_of(family: str) -> Path:
    """Return the file of a typeface."""
    return Path(str(files("manimgx_fonts") / f"{family}[wght].ttf"))


@cache
def letters(family: str) -> frozenset[int]:
    """Return the code points that a typeface can show."""
    with TTFont(file_of(family), lazy=True) as font:
        return frozenset(font.getBestCmap())


def needed(texts: Iterable[str]) -> list[str]:
    """Return the typefaces, beside the main one, that these texts need."""
    missing = {ord(letter) for text in texts for letter in text} - letters(MAIN)
    missing -= {ord(letter) for letter in _INVISIBLE}
    chosen = []
    for family in OTHERS:
        if missing & letters(family):
            chosen.append(family)
            missing -= letters(family)
    return chosen


def legible(text: str, families: Iterable[str]) -> str:
    """Return the text with a note in place of each run of letters that cannot be shown."""
    known = letters(MAIN).union(*map(letters, families))
    return "".join(_runs(text, known))


def _runs(text: str, known: frozenset[int]) -> Iterator[str]:
    hidden, gap = 0, ""
    for letter in text:
        if hidden and letter.isspace():
            gap += letter
        elif ord(letter) in known or letter in _INVISIBLE:
            if hidden:
                yield _note(hidden) + gap
                hidden, gap = 0, ""
            yield letter if letter not in _UNSEEN else ""
        else:
            hidden, gap = hidden + 1, ""
    if hidden:
        yield _note(hidden) + gap


def _note(count: int) -> str:
    letters_left = "1 character" if count == 1 else f"{count} characters"
    return f"[{letters_left} that this document cannot show]"
