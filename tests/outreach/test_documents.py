"""The fax: whole, numbered, marked, and harmless whatever its words are."""

from __future__ import annotations

import re
import zlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.outreach.dispatch import MOST_CHARACTERS, Dispatch, decoded, name, paragraphs
from engine.outreach.documents import fax
from engine.outreach.plain_text import runs_leftward, safe
from engine.outreach.typeface import legible, needed

PLAIN = Dispatch(
    "fax",
    "0123456789abcdef",
    "c1",
    "2026-05-01T10:00:00.000000Z",
    "+15155550199",
    "Lakeside Therapy Group",
    "Organization/l",
    "Mercy Children's Hospital",
    "a",
    "Avery Lindqvist",
    "2017-03-14",
    ("Avery's plan of care is ready.",),
)
HOSTILE = {
    "markup": "<script>alert(1)</script> <b>x</b> **bold** __under__ [a](javascript:b) &amp;",
    "placeholder": "{#p} {nb} {pages} %s {0}",
    "long": "word " * 2000,
    "unbroken": "W" * 10_000,
    "leftward": "مرحبا بالعالم هذا نص عن الرعاية الصحية שלום עולם",
    "emoji": "😀👩‍⚕️❤️🚑🏥",
    "unshown": "中文字符 and 日本語",
    "piled": "e" + "\u0301" * 500,
    "controls": "a\x00b\x07c\x1b[31md\u202egnp.exe\ufeff\ud800",
    "pdf": ") Tj ET Q /JavaScript (app.alert(1)) endstream endobj",
    "lines": "\n" * 300,
}


def test_a_fax_has_a_cover_and_its_words() -> None:
    """A short message makes two pages: the cover sheet and the message."""
    made = fax(PLAIN, callback="515 555 0100")
    assert made is not None
    assert made.pages == 2
    assert made.content.startswith(b"%PDF-")


def test_the_same_dispatch_makes_the_same_bytes() -> None:
    """A repeat after a crash hands over exactly the same document."""
    assert fax(PLAIN) == fax(PLAIN)


@pytest.mark.parametrize("words", HOSTILE.values(), ids=HOSTILE)
def test_hostile_words_are_only_words(words: str) -> None:
    """Markup, scripts, marks and long runs neither break a page nor become anything active."""
    text = safe(words)
    made = fax(replace(PLAIN, to=name(words), member_name=name(words), paragraphs=(text,)))
    assert made is not None
    for active in (b"/JavaScript", b"/JS", b"/Launch", b"/URI", b"/OpenAction /", b"/Annots"):
        assert active not in _readable(made.content)


def _readable(content: bytes) -> bytes:
    """Return the objects of a PDF without its compressed streams (fonts and page contents)."""
    return re.sub(rb"stream\n.*?endstream", b"", content, flags=re.DOTALL)


def test_too_many_words_are_refused() -> None:
    """What no fax machine should print is refused, and the next medium is tried."""
    assert fax(replace(PLAIN, paragraphs=("x" * (MOST_CHARACTERS + 1),))) is None


def test_no_text_becomes_the_number_of_pages() -> None:
    """The stand-in for the page count in a message stays what it is."""
    streams = _streams(replace(PLAIN, paragraphs=("{#p}",)))
    assert b"{#p}" not in streams


def _streams(dispatch: Dispatch) -> bytes:
    made = fax(dispatch)
    assert made is not None
    found = re.findall(rb"stream\n(.*?)\nendstream", made.content, flags=re.DOTALL)
    out = b""
    for one in found:
        try:
            out += zlib.decompress(one)
        except zlib.error:
            out += one
    return out


@given(st.text(max_size=400))
def test_safe_text_steers_nothing(text: str) -> None:
    """No control, private or direction mark survives; line ends are line feeds."""
    cleaned = safe(text)
    assert all(
        letter in "\n\u200c\u200d" or letter.isprintable() or letter.isspace() for letter in cleaned
    )
    assert not set(cleaned) & set("\r\x00\u202e\u2066\ufeff")


@settings(max_examples=12)
@given(st.text(max_size=300))
def test_any_text_makes_a_document(text: str) -> None:
    """Rendering never fails, whatever Unicode holds."""
    assert fax(replace(PLAIN, to=name(text), paragraphs=(safe(text),))) is not None


def test_letters_that_cannot_be_shown_are_counted() -> None:
    """A run of letters without a typeface leaves a note instead of boxes."""
    assert needed(["plain"]) == []
    assert needed(["مرحبا"]) == ["NotoSansArabic"]
    shown = legible("中文 and one 字", ())
    assert shown == (
        "[2 characters that this document cannot show] and one "
        "[1 character that this document cannot show]"
    )


def test_direction_follows_the_first_strong_letter() -> None:
    """Arabic and Hebrew paragraphs stand at the right, also behind digits."""
    assert runs_leftward("123 مرحبا")
    assert not runs_leftward("A مرحبا")


def test_a_dispatch_survives_its_way_through_the_worker() -> None:
    """What is encoded comes back the same."""
    assert decoded(PLAIN.encoded()) == PLAIN


def test_only_words_are_told() -> None:
    """Plain text attachments are read, others are named, notices are left to the medium."""
    communication = {
        "resourceType": "Communication",
        "payload": [
            {"contentString": "Hello\u202e"},
            {"contentAttachment": {"contentType": "text/plain", "data": "aGk="}},
            {"contentAttachment": {"contentType": "application/pdf", "title": "Plan"}},
            {"contentReference": {"reference": "CarePlan/1"}},
            {
                "contentString": "42 CFR part 2 prohibits unauthorized use or disclosure of "
                "these records."
            },
        ],
    }
    assert paragraphs(communication) == (
        "Hello",
        "hi",
        "Attachment, available on request: Plan",
        "A CarePlan is on record.",
    )
