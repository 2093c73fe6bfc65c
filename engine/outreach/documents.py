"""The fax: a cover sheet that names no member, then the words, every page numbered and marked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from fpdf import FPDF
from fpdf.enums import Align, XPos, YPos

from engine.outreach.dispatch import MOST_CHARACTERS, Dispatch
from engine.outreach.plain_text import runs_leftward
from engine.outreach.typeface import MAIN, file_of, legible, needed
from engine.rules.mark import NOTICES

CONFIDENTIAL = (
    "This fax is confidential. It holds health information that the law protects, for the "
    "recipient named above only. If you are not that recipient, do not read, copy or pass it on: "
    "call the sender at once, and destroy every page."
)

FOOT = "Confidential health information"
SUBJECT = "Coordination of care"
_PAGES = "{#p}"
"""What stands for the number of pages until all are laid out; no text may hold it."""

_LINE = 6.0
_MARGIN = 20.0
_MOST_PAGES = 200


@dataclass(frozen=True, slots=True)
class Document:
    """Hold a rendered document: the PDF and how many pages it has."""

    content: bytes
    pages: int


def fax(dispatch: Dispatch, *, callback: str | None = None) -> Document | None:
    """Return the PDF of a fax, or None where the words are too many for one."""
    if sum(map(len, dispatch.paragraphs)) > MOST_CHARACTERS:
        return None
    sheet = _Sheet(dispatch)
    _cover(sheet, dispatch, callback)
    _message(sheet, dispatch)
    if sheet.page_no() > _MOST_PAGES:
        return None
    return Document(bytes(sheet.output()), sheet.pages_count)


class _Sheet(FPDF):
    """Lay out Letter pages in typefaces that show every script they can."""

    def __init__(self, dispatch: Dispatch) -> None:
        super().__init__(format="letter")
        texts = [dispatch.to, dispatch.sender, dispatch.member_name, *dispatch.paragraphs]
        self.families = needed(texts)
        self.reference = dispatch.key[:16]
        for family in (MAIN, *self.families):
            self.add_font(family, "", file_of(family))
        self.set_fallback_fonts(list(self.families), exact_match=False)
        self.set_text_shaping(True)
        self.set_margins(_MARGIN, _MARGIN)
        self.set_auto_page_break(True, margin=24)
        self.set_title(SUBJECT)
        self.set_creator("carelane")
        self.set_creation_date(datetime.fromisoformat(dispatch.at).astimezone(UTC))
        self.alias_nb_pages(_PAGES)

    def footer(self) -> None:
        """Mark every page: confidential, which document, and page so-and-so of so many."""
        self.set_y(-16)
        self.set_draw_color(150)
        self.line(_MARGIN, self.get_y(), self.w - _MARGIN, self.get_y())
        self.set_font(MAIN, "", 9)
        self.set_y(-14)
        third = self.epw / 3
        self.cell(third, 5, FOOT, align=Align.L)
        self.cell(third, 5, f"Reference {self.reference}", align=Align.C)
        self.cell(third, 5, f"Page {self.page_no()} of {_PAGES}", align=Align.R)

    def shown(self, text: str) -> str:
        """Return the text as letters that can be shown, and nothing that is replaced later."""
        return legible(text, self.families).replace(_PAGES, "{ #p }")

    def say(self, text: str, size: float = 11.5, line: float = _LINE) -> None:
        """Write one paragraph, from the right where its script runs so; markup is just letters."""
        self.set_font(MAIN, "", size)
        shown = self.shown(text)
        align = Align.R if runs_leftward(shown) else Align.L
        self.multi_cell(
            0, line, shown, align=align, new_x=XPos.LMARGIN, new_y=YPos.NEXT, markdown=False
        )

    def pair(self, label: str, value: str) -> None:
        """Write a label and its value beside it."""
        self.set_font(MAIN, "", 11.5)
        top = self.get_y()
        self.set_text_color(90)
        self.cell(34, 8, label)
        self.set_text_color(0)
        self.set_xy(_MARGIN + 34, top)
        shown = value if value is _PAGES else self.shown(value)
        self.multi_cell(0, 8, shown, align=Align.L, new_x=XPos.LMARGIN, new_y=YPos.NEXT)

    def rule(self) -> None:
        """Draw a line across the page."""
        self.ln(3)
        self.set_draw_color(60)
        self.line(_MARGIN, self.get_y(), self.w - _MARGIN, self.get_y())
        self.ln(4)

    def framed(self, texts: Iterable[str]) -> None:
        """Write paragraphs in a frame that no reader overlooks."""
        self.set_font(MAIN, "", 11)
        self.set_draw_color(0)
        self.multi_cell(
            0,
            _LINE,
            "\n\n".join(texts),
            border=1,
            padding=4,
            align=Align.L,
            new_x=XPos.LMARGIN,
            new_y=YPos.NEXT,
        )


def _cover(sheet: _Sheet, dispatch: Dispatch, callback: str | None) -> None:
    """Write the cover sheet, which lies open in a tray: it names no member and says no more."""
    sheet.add_page()
    sheet.say("FAX", 30, 14)
    sheet.say(f"{SUBJECT}: confidential", 14, 9)
    sheet.rule()
    sheet.pair("To", dispatch.to or "the recipient at this number")
    sheet.pair("Fax", dispatch.address)
    sheet.pair("From", dispatch.sender)
    if callback:
        sheet.pair("Call back", callback)
    sheet.pair("Date", f"{dispatch.at[:10]} {dispatch.at[11:16]} UTC")
    sheet.pair("Priority", dispatch.priority)
    sheet.pair("Pages", _PAGES)
    sheet.pair("Reference", dispatch.key[:16])
    sheet.rule()
    sheet.framed([CONFIDENTIAL, *NOTICES.values()])


def _message(sheet: _Sheet, dispatch: Dispatch) -> None:
    sheet.add_page()
    sheet.say(SUBJECT, 16, 9)
    sheet.ln(2)
    if dispatch.member_name:
        sheet.pair("About", dispatch.member_name)
    if dispatch.born:
        sheet.pair("Born", dispatch.born)
    sheet.pair("To", dispatch.to or "the recipient at this number")
    sheet.pair("From", dispatch.sender)
    sheet.rule()
    for paragraph in dispatch.paragraphs:
        sheet.say(paragraph)
        sheet.ln(3)
    if dispatch.notices:
        sheet.ln(3)
        sheet.framed(dispatch.notices)
