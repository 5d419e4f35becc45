"""PDF by pdfium: the text layer, page by page, with headings."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from indexing.document import one_line
from indexing.errors import NoTextError, UnreadableError
from indexing.read.formats import scan
from indexing.read.formats.extract import (
    Extract,
    Limits,
    counted,
    real_title,
    require_chars,
    tidy,
)
from indexing.read.formats.pdf_headings import NO_LEVELS, levels_by_size, mark_by_bookmarks, mark_by_size
from indexing.read.formats.pdf_hidden import drop_hidden
from indexing.read.formats.pdf_lines import Line, lines_of
from indexing.read.formats.pdf_notes import with_notes
from indexing.read.formats.pdf_paragraphs import joined, layout_of, text_of

_SCAN = (
    "no text: its pages are images or empty (a scan?), and OCR is off: `pip install ragline[docling]` and set"
    " index.scan_models to read scans"
)


def load(content: bytes, _media_type: str, limits: Limits) -> Extract:
    document = _open(content)
    try:
        if len(document) > limits.max_pages:
            raise UnreadableError(f"too large: {len(document):,} pages, more than the limit of {limits.max_pages:,}")
        omitted = Counter({"attachment": pdfium_c.FPDFDoc_GetAttachmentCount(document)})
        omitted["XFA form"] += document.get_formtype() == pdfium_c.FORMTYPE_XFA_FULL
        lines = _lines(document, limits, omitted)
        bookmarks = _bookmarks(document)
        levels = levels_by_size(lines)
        used = NO_LEVELS if bookmarks else levels
        marked = [mark_by_size(page, used) for page in lines]
        mark_by_bookmarks(marked, bookmarks)
        layout = layout_of(lines)
        pages = [text_of(page, layout) for page in marked]
        if limits.scan_models and not any(line.size for page in lines for line in page):
            return scan.load(content, limits)
        if not any(pages):
            raise NoTextError(_SCAN)
        title = real_title(_title(document)) or _first_heading(mark_by_size(lines[0], levels))
    finally:
        document.close()
    text, starts = joined(pages, layout)
    require_chars(len(text), limits)
    empty = sum(not page for page in pages)
    return Extract(text, title, starts, {"pages_without_text": empty} if empty else {}, omitted=counted(+omitted))


def _open(content: bytes) -> Any:
    try:
        document = pdfium.PdfDocument(content)
        document.init_forms()
    except pdfium.PdfiumError as exc:
        if getattr(exc, "err_code", None) == pdfium_c.FPDF_ERR_PASSWORD:
            raise UnreadableError("protected by a password") from exc
        raise UnreadableError("broken PDF: it cannot be opened") from exc
    return document


def _lines(document: Any, limits: Limits, omitted: Counter[str]) -> list[list[Line]]:
    pages: list[list[Line]] = []
    length = 0
    for number in range(len(document)):
        pages.append(_page(document, number, omitted))
        length += sum(len(line.text) for line in pages[-1])
        require_chars(length, limits)
    return pages


def _page(document: Any, number: int, omitted: Counter[str]) -> list[Line]:
    """The lines of a page; [] where pdfium cannot read it."""
    page = pdfium_c.FPDF_LoadPage(document, number)
    if not page:
        return []
    if document.formenv:
        pdfium_c.FORM_OnAfterLoadPage(page, document.formenv)
    omitted["hidden text"] += drop_hidden(page)
    lines: list[Line] = []
    if text_page := pdfium_c.FPDFText_LoadPage(page):
        box = pdfium_c.FS_RECTF()
        pdfium_c.FPDF_GetPageBoundingBox(page, box)
        lines = lines_of(text_page, (box.left, box.bottom, box.right, box.top), omitted)
        lines = with_notes(lines, page, text_page, document.formenv, omitted)
        pdfium_c.FPDFText_ClosePage(text_page)
    if document.formenv:
        pdfium_c.FORM_OnBeforeClosePage(page, document.formenv)
    pdfium_c.FPDF_ClosePage(page)
    return lines


def _bookmarks(document: Any) -> list[tuple[int, int, str]]:
    """(page, level, title) of the outline; [] where there is none or it is broken."""
    found = []
    try:
        for mark in document.get_toc(max_depth=4):
            target = mark.get_dest()
            page = target.get_index() if target else None
            if page is not None and (title := one_line(tidy(mark.get_title()))):
                found.append((page, mark.level, title))
    except (pdfium.PdfiumError, ValueError, UnicodeDecodeError):
        return []
    return found


def _first_heading(page: Sequence[Line]) -> str:
    """The first heading of the highest level on the page or the next: small capitals are two sizes."""
    highest = min((line.level for line in page if line.level), default=0)
    return next((one_line(line.text) for line in page if 0 < line.level <= highest + 1), "")


def _title(document: Any) -> str:
    try:
        return str(document.get_metadata_value("Title"))
    except (pdfium.PdfiumError, UnicodeDecodeError):
        return ""
