"""A draft report as a PDF to print or send, marked on every page as what it is.

reportlab draws it; the fonts are those it brings (Bitstream Vera), letters they lack are told of on the page. No script, no link, no
form: text and pictures only, and everything a reader or a model wrote is escaped before it is set.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import reportlab
from PIL import Image as Pillow
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.platypus import BaseDocTemplate, Flowable, Frame, Image, PageTemplate, Paragraph, Spacer, Table, TableStyle

from inference.engine import RGB
from inference.report import NOTICE, Report, provenance, sections

MARGIN = 18 * mm
PICTURE = 62 * mm
"""Longest side of an image on paper."""
PIXELS = 640
"""Longest side of an image in the file."""
_LEFT_OUT = "Some letters are not in this font and stand as a question mark; the text export has them."
_INK, _QUIET, _WARN = colors.HexColor("#14181d"), colors.HexColor("#5d6875"), colors.HexColor("#7a5000")


def pdf(report: Report, pictures: Sequence[RGB]) -> bytes:
    """The report as a PDF; `pictures` (H, W, 3) uint8 are its images in declared order as the model was shown them."""
    _fonts()
    out = io.BytesIO()
    page = BaseDocTemplate(
        out,
        pagesize=A4,
        leftMargin=MARGIN,
        rightMargin=MARGIN,
        topMargin=MARGIN + 8 * mm,
        bottomMargin=MARGIN,
        title=f"Interval report, {report.patient}"[:200],
        author="Interval",
        subject=report.mark,
        creator="Interval",
    )
    body = Frame(page.leftMargin, page.bottomMargin, page.width, page.height, id="body", leftPadding=0, rightPadding=0)
    page.addPageTemplates(PageTemplate("report", [body], onPage=lambda canvas, _page: _marked(canvas, report)))
    page.build(_story(report, pictures, page.width))
    return out.getvalue()


def _story(report: Report, pictures: Sequence[RGB], width: float) -> list[Flowable]:
    words = _Words()
    story: list[Flowable] = [words.line(report.patient or "Patient not named", "title"), words.line(NOTICE, "warn")]
    story += [words.line(f"{name}: {value}", "body") for name, value in report.clinical]
    if pictures:
        story += [Spacer(1, 3 * mm), _pictures(report, pictures, words, width)]
    for name, text in sections(report):
        story += [words.line(name, "head"), *(words.line(line, "body") for line in (text or "Nothing is stated.").splitlines())]
    story += [words.line("About the answers", "head"), *(words.line(caution, "quiet") for caution in report.cautions)]
    for number, rows in enumerate(provenance(report)):
        story += [words.line(f"Answer {number}" if number else "Provenance", "head"), _rows(rows, words, width)]
    return [*story, *([words.line(_LEFT_OUT, "quiet")] if words.lost else [])]


class _Words:
    """Text as paragraphs; remembers whether a letter was lost."""

    def __init__(self) -> None:
        self.lost = False
        self._known = pdfmetrics.getFont("Vera").face.charToGlyph
        base = ParagraphStyle("body", fontName="Vera", fontSize=9, leading=13, textColor=_INK, splitLongWords=True)
        self._styles = {
            "body": base,
            "quiet": ParagraphStyle("quiet", base, fontSize=7.5, leading=10.5, textColor=_QUIET),
            "warn": ParagraphStyle("warn", base, fontSize=8, leading=11, textColor=_WARN),
            "head": ParagraphStyle(
                "head", base, fontName="VeraBd", fontSize=9.5, leading=13, spaceBefore=9, spaceAfter=2, keepWithNext=True
            ),
            "title": ParagraphStyle("title", base, fontName="VeraBd", fontSize=14, leading=19, spaceAfter=3),
        }

    def line(self, text: str, style: str) -> Paragraph:
        """One paragraph of plain text."""
        shown = "".join(letter if ord(letter) in self._known or letter in "\n\t" else self._missing() for letter in text)
        return Paragraph(escape(shown).replace("\n", "<br/>"), self._styles[style])

    def _missing(self) -> str:
        self.lost = True
        return "?"


def _pictures(report: Report, pictures: Sequence[RGB], words: _Words, width: float) -> Table:
    """The images in order with role and date under each, two or three in a row."""
    across = 2 if len(pictures) in (2, 4) else 3
    cell = min(PICTURE, width / across - 4 * mm)
    cells: list[list[Any]] = []
    for image, pixels in zip(report.images, pictures, strict=True):
        small = Pillow.fromarray(pixels)
        small.thumbnail((PIXELS, PIXELS))
        packed = io.BytesIO()
        small.save(packed, "PNG")
        scale = cell / max(small.size)
        about = ", ".join(part for part in (image.role, image.when) if part)
        caption = [words.line(part, "quiet") for part in (about, image.named) if part]
        cells.append([Image(packed, small.width * scale, small.height * scale), *caption])
    rows = [cells[start : start + across] for start in range(0, len(cells), across)]
    rows[-1] += [[]] * (across - len(rows[-1]))
    table = Table(rows, colWidths=[width / across] * across, hAlign="LEFT")
    table.setStyle(TableStyle([("VALIGN", (0, 0), (-1, -1), "TOP"), ("LEFTPADDING", (0, 0), (-1, -1), 0)]))
    return table


def _rows(rows: Sequence[tuple[str, str]], words: _Words, width: float) -> Table:
    """Names and values in two columns; a long value goes on over the page."""
    cells = [[words.line(name, "quiet"), words.line(value, "quiet")] for name, value in rows]
    table = Table(cells, colWidths=[38 * mm, width - 38 * mm], hAlign="LEFT", splitInRow=1)
    padding = [(f"{side}PADDING", (0, 0), (-1, -1), 1) for side in ("TOP", "BOTTOM", "LEFT")]
    table.setStyle(TableStyle([("VALIGN", (0, 0), (-1, -1), "TOP"), *padding]))
    return table


def _marked(canvas: Any, report: Report) -> None:
    """The mark above every page and across it, and the page's number."""
    wide, high = A4
    canvas.saveState()
    canvas.setFillColor(_WARN)
    canvas.setFont("VeraBd", 9)
    canvas.drawString(MARGIN, high - MARGIN, report.mark)
    canvas.setFont("Vera", 8)
    canvas.setFillColor(_QUIET)
    canvas.drawRightString(wide - MARGIN, high - MARGIN, f"Interval, page {canvas.getPageNumber()}")
    canvas.translate(wide / 2, high / 2)
    canvas.rotate(52)
    canvas.setFont("VeraBd", 54)
    canvas.setFillColor(_WARN, alpha=0.06)
    canvas.drawCentredString(0, 0, "MACHINE DRAFT")
    canvas.restoreState()


def _fonts() -> None:
    folder = Path(reportlab.__file__).parent / "fonts"
    for name in ("Vera", "VeraBd"):
        if name not in pdfmetrics.getRegisteredFontNames():
            pdfmetrics.registerFont(TTFont(name, str(folder / f"{name}.ttf")))
