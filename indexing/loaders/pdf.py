"""PDF by pdfium: the text layer page by page, bookmarks as headings."""

import re
from typing import Any

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from indexing.errors import UnreadableError
from indexing.loaders.extract import LONG_TITLE, Extract, Limits, joined_pages, one_line, require_chars, tidy


def load(content: bytes, media_type: str, limits: Limits) -> Extract:
    del media_type
    document = _opened(content)
    try:
        if len(document) > limits.max_pages:
            raise UnreadableError(f"too large: {len(document):,} pages, more than the limit of {limits.max_pages:,}")
        pages = _texts(document, limits)
        if not any(pages):
            raise UnreadableError("no text: its pages are images or empty (a scan?), and would need OCR")
        pages = _with_headings(pages, _bookmarks(document))
        title = _title(document)
    finally:
        document.close()
    text, starts = joined_pages(pages, limits)
    silent = sum(not page for page in pages)
    return Extract(text, title, starts, {"pages_without_text": silent} if silent else {})


def _opened(content: bytes) -> Any:
    try:
        return pdfium.PdfDocument(content)
    except pdfium.PdfiumError as exc:
        if getattr(exc, "err_code", None) == pdfium_c.FPDF_ERR_PASSWORD:
            raise UnreadableError("protected by a password") from exc
        raise UnreadableError("broken PDF: it cannot be opened") from exc


def _texts(document: Any, limits: Limits) -> list[str]:
    pages: list[str] = []
    length = 0
    for number in range(len(document)):
        pages.append(_page_text(document, number))
        length += len(pages[-1])
        require_chars(length, limits)
    return pages


def _page_text(document: Any, number: int) -> str:
    """ "" for a page that pdfium cannot read: the others still count."""
    try:
        page = document[number]
        text_page = page.get_textpage()
        raw: str = text_page.get_text_bounded()
    except pdfium.PdfiumError:
        return ""
    text_page.close()
    page.close()
    # pdfium writes U+FFFE (or U+0002) for the hyphen of a word that a line end cuts in two.
    return tidy(re.sub("[\ufffe\x02](?:\r?\n)?", "", raw))


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


def _with_headings(pages: list[str], bookmarks: list[tuple[int, int, str]]) -> list[str]:
    """Lines that a bookmark names become Markdown headings; a bookmark whose words are not on its page is left out."""
    pages = list(pages)
    for page, level, title in bookmarks:
        if page >= len(pages) or len(title) > LONG_TITLE:
            continue
        # A number before the title may be in the text only; a title may run over two lines.
        words = r"\s+".join(map(re.escape, title.split()))
        line = re.compile(rf"^(?!#)((?:[\dA-Z][\d.]*\s+)?{words})[ \t]*$", re.MULTILINE | re.IGNORECASE)
        heading = "#" * min(level + 1, 6)
        pages[page] = line.sub(lambda m, h=heading: f"\n{h} {one_line(m[1])}\n", pages[page], count=1)  # type: ignore[misc]
    return [page.strip("\n") for page in pages]


def _title(document: Any) -> str:
    try:
        return str(document.get_metadata_value("Title"))
    except (pdfium.PdfiumError, UnicodeDecodeError):
        return ""
