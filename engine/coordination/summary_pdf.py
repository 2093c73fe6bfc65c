"""The member view as a PDF: the same rows as the page, laid out for paper or fax."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from fpdf import FPDF
from fpdf.enums import Align, TextMode, VAlign, XPos, YPos
from fpdf.fonts import FontFace

from engine.coordination.summary import Row, Section, Summary
from engine.outreach.plain_text import runs_leftward
from engine.outreach.typeface import MAIN, file_of, legible, needed

_MARGIN = 16.0
_COLUMNS = (36, 97, 51)
_ONE_LINE = 70
_STROKE = 0.012
_SOFT = (86, 100, 115)
_INK = (28, 39, 51)
_MARKS = {"high": (164, 22, 26), "moderate": (138, 90, 0), "low": (59, 91, 122)}
FOOT = "Confidential health information, told under consent as it stands at this moment"


def pdf(summary: Summary) -> bytes:
    """Return the member view as a PDF on Letter pages."""
    sheet = _Sheet(summary)
    sheet.add_page()
    sheet.strong(summary.name, 18, 9)
    sheet.say(
        f"Born {summary.born} · {summary.gender} · Coordination summary for {summary.reader} · "
        f"as of {summary.at[:10]} {summary.at[11:16]} UTC",
        9.5,
        5,
    )
    for section in summary.sections:
        sheet.section(section)
    return bytes(sheet.output())


class _Sheet(FPDF):
    """Lay out the pages in typefaces that show every script they can."""

    def __init__(self, summary: Summary) -> None:
        super().__init__(format="letter")
        self.families = needed(_texts(summary))
        for family in (MAIN, *self.families):
            self.add_font(family, "", file_of(family))
        self.set_fallback_fonts(list(self.families), exact_match=False)
        self.set_text_shaping(True)
        self.set_margins(_MARGIN, _MARGIN)
        self.set_auto_page_break(True, margin=20)
        self.set_title("Coordination summary")
        self.set_creator("carelane")
        self.set_creation_date(datetime.fromisoformat(summary.at))
        self.alias_nb_pages("{#pages}")

    def footer(self) -> None:
        """Mark every page: confidential, and page so-and-so of so many."""
        self.set_y(-14)
        self.set_font(MAIN, "", 8)
        self.set_text_color(*_SOFT)
        self.cell(self.epw * 0.8, 5, FOOT, align=Align.L)
        self.cell(self.epw * 0.2, 5, f"Page {self.page_no()} of {{#pages}}", align=Align.R)

    def shown(self, text: str) -> str:
        """Return the text as letters that can be shown, and nothing that is replaced later."""
        return legible(text, self.families).replace("{#pages}", "{ #pages }")

    def say(self, text: str, size: float, line: float, color: tuple[int, int, int] = _SOFT) -> None:
        """Write one paragraph, from the right where its script runs so."""
        self.set_font(MAIN, "", size)
        self.set_text_color(*color)
        shown = self.shown(text)
        align = Align.R if runs_leftward(shown) else Align.L
        self.multi_cell(0, line, shown, align=align, new_x=XPos.LMARGIN, new_y=YPos.NEXT)

    def strong(self, text: str, size: float, line: float) -> None:
        """Write one paragraph with strong letters."""
        with self.local_context(text_mode=TextMode.FILL_STROKE, line_width=size * _STROKE):
            self.set_draw_color(*_INK)
            self.say(text, size, line, _INK)

    def section(self, section: Section) -> None:
        """Write a title, and a line for each row."""
        if self.will_page_break(24):
            self.add_page()
        self.ln(4)
        count = len(section.rows) + section.more
        self.strong(f"{section.title} ({count})" if count else section.title, 11.5, 6)
        self.set_draw_color(180)
        self.line(_MARGIN, self.get_y(), self.w - _MARGIN, self.get_y())
        self.ln(1)
        if not section.rows:
            self.say(section.empty, 9.5, 5)
            return
        self.rows(section)
        if section.more:
            self.say(f"and {section.more} more", 9.5, 5)

    def rows(self, section: Section) -> None:
        self.set_font(MAIN, "", 9.5)
        before = ""
        with self.table(
            col_widths=_COLUMNS, borders_layout="NONE", first_row_as_headings=False,
            line_height=4.8, padding=(0.6, 1.5, 0.6, 0), text_align=("LEFT", "LEFT", "RIGHT"),
            v_align=VAlign.T,
        ) as table:  # fmt: skip
            for row in section.rows:
                mark = "" if row.mark == before and section.code != "findings" else row.mark
                before = row.mark
                line = table.row()
                color = _MARKS.get(row.mark, _SOFT)
                line.cell(self.shown(mark), style=FontFace(color=color))
                line.cell(
                    self.shown(_body(row)),
                    style=FontFace(color=_INK),
                    align=Align.R if runs_leftward(row.head) else Align.L,
                    colspan=1 if row.source else 2,
                )
                if row.source:
                    line.cell(self.shown(row.source), style=FontFace(color=_SOFT))


def _body(row: Row) -> str:
    if not row.detail:
        return row.head
    between = "\n" if len(row.head) + len(row.detail) > _ONE_LINE else " · "
    return f"{row.head}{between}{row.detail}"


def _texts(summary: Summary) -> Iterator[str]:
    yield from (summary.name, summary.reader)
    for section in summary.sections:
        for row in section.rows:
            yield from (row.head, row.detail, row.source, row.mark)
