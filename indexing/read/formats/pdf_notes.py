"""Reads what is filled into a PDF's form and noted on its pages: no part of a page's own text."""

import ctypes
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pypdfium2.raw as pdfium_c

from indexing.document import one_line
from indexing.read.formats.extract import tidy
from indexing.read.formats.pdf_lines import Box, Line

_NO_NOTES = frozenset(
    (
        pdfium_c.FPDF_ANNOT_UNKNOWN, pdfium_c.FPDF_ANNOT_LINK, pdfium_c.FPDF_ANNOT_POPUP, pdfium_c.FPDF_ANNOT_SOUND,
        pdfium_c.FPDF_ANNOT_MOVIE, pdfium_c.FPDF_ANNOT_SCREEN, pdfium_c.FPDF_ANNOT_PRINTERMARK,
        pdfium_c.FPDF_ANNOT_TRAPNET, pdfium_c.FPDF_ANNOT_THREED, pdfium_c.FPDF_ANNOT_RICHMEDIA,
    )
)  # fmt: skip
"""Annotations whose contents describe them, or repeat those of another."""
_UNSEEN = pdfium_c.FPDF_ANNOT_FLAG_HIDDEN | pdfium_c.FPDF_ANNOT_FLAG_NOVIEW
_PASSWORD = 1 << 13
_ON = ("yes", "on", "true", "1")
"""Values of a checked box that only programs know."""


def with_notes(lines: list[Line], page: Any, text_page: Any, form: Any, omitted: Counter[str]) -> list[Line]:
    """The lines with the values of fields, each below the line that it stands beside, and with the notes at the end."""
    below: dict[int, dict[str, None]] = {}
    for kind, label, text, box in _annotations(page, form, omitted):
        painted = "".join(_painted(text_page, box).split())
        if "".join(text.split()) not in painted:
            at = _beside(lines, box) if kind == pdfium_c.FPDF_ANNOT_WIDGET else len(lines)
            below.setdefault(at, {})[f"{label}: {text}" if label else text] = None
    if not below:
        return lines
    added = {at: [Line(part, 0.0) for text in texts for part in text.split("\n")] for at, texts in below.items()}
    return [line for at in range(len(lines) + 1) for line in (*added.get(at, ()), *lines[at : at + 1])]


def _beside(lines: Sequence[Line], box: Box) -> int:
    """How many lines stand before a field: up to the one that it is beside, else the one that it is below."""

    def distance(at: int) -> tuple[float, float]:
        line = lines[at]
        return max(line.bottom - box[3], 0.0), abs(box[0] - line.right)

    above = [at for at, line in enumerate(lines) if line.bottom + line.size > box[1] and line.size]
    at = min(above, key=distance) + 1 if above else 0
    while 0 < at < len(lines) and lines[at - 1].hyphen:
        at += 1
    return at


def _annotations(page: Any, form: Any, omitted: Counter[str]) -> Iterator[tuple[int, str, str, Box]]:
    """(kind, label, text, place) of what a reader sees; what is hidden is counted."""
    rect = pdfium_c.FS_RECTF()
    for number in range(pdfium_c.FPDFPage_GetAnnotCount(page)):
        annotation = pdfium_c.FPDFPage_GetAnnot(page, number)
        kind = pdfium_c.FPDFAnnot_GetSubtype(annotation)
        if kind == pdfium_c.FPDF_ANNOT_WIDGET:
            label, text = _field(form, annotation) if form else ("", "")
        elif kind not in _NO_NOTES:
            label, text = _note(annotation, is_painted=kind == pdfium_c.FPDF_ANNOT_FREETEXT)
        else:
            text = ""
        if text and pdfium_c.FPDFAnnot_GetFlags(annotation) & _UNSEEN:
            omitted["hidden text"] += 1
        elif text and pdfium_c.FPDFAnnot_GetRect(annotation, rect):
            yield kind, label, text, (rect.left, rect.bottom, rect.right, rect.top)
        pdfium_c.FPDFPage_CloseAnnot(annotation)


def _painted(text_page: Any, box: Box) -> str:
    """The text of a page within a box."""
    left, bottom, right, top = box
    count = pdfium_c.FPDFText_GetBoundedText(text_page, left, top, right, bottom, None, 0)
    buffer = (ctypes.c_ushort * count)()
    pdfium_c.FPDFText_GetBoundedText(text_page, left, top, right, bottom, buffer, count)
    return bytes(buffer).decode("utf-16-le", "ignore")


def _note(annotation: Any, *, is_painted: bool) -> tuple[str, str]:
    """("Note by its author", its text); without the label for text that is painted on the page."""
    author, text = (_string(pdfium_c.FPDFAnnot_GetStringValue, annotation, key) for key in (b"T", b"Contents"))
    return "" if is_painted else f"Note by {one_line(author)}" if author else "Note", text


def _field(form: Any, annotation: Any) -> tuple[str, str]:
    """(label, value) of a field; the value is "" of one that is empty, not checked, a button or a password."""

    def string(read: Callable[..., int], *args: Any) -> str:
        return _string(read, form, annotation, *args)

    kind = pdfium_c.FPDFAnnot_GetFormFieldType(form, annotation)
    options = [
        string(pdfium_c.FPDFAnnot_GetOptionLabel, option)
        for option in range(max(pdfium_c.FPDFAnnot_GetOptionCount(form, annotation), 0))
        if pdfium_c.FPDFAnnot_IsOptionSelected(form, annotation, option)
    ]
    value = ""
    if kind in (pdfium_c.FPDF_FORMFIELD_CHECKBOX, pdfium_c.FPDF_FORMFIELD_RADIOBUTTON):
        if pdfium_c.FPDFAnnot_IsChecked(form, annotation):
            value = string(pdfium_c.FPDFAnnot_GetFormFieldExportValue)
            value = "yes" if value.lower() in _ON else value
    elif kind in (pdfium_c.FPDF_FORMFIELD_COMBOBOX, pdfium_c.FPDF_FORMFIELD_LISTBOX):
        value = ", ".join(options) or string(pdfium_c.FPDFAnnot_GetFormFieldValue)
    elif kind == pdfium_c.FPDF_FORMFIELD_TEXTFIELD:
        secret = pdfium_c.FPDFAnnot_GetFormFieldFlags(form, annotation) & _PASSWORD
        value = "" if secret else string(pdfium_c.FPDFAnnot_GetFormFieldValue)
    name = re.sub(r"\[\d+\]$", "", string(pdfium_c.FPDFAnnot_GetFormFieldName).rpartition(".")[2])
    return one_line(string(pdfium_c.FPDFAnnot_GetFormFieldAlternateName)) or name, value


def _string(read: Callable[..., int], *args: Any) -> str:
    """What a function of pdfium writes as UTF-16 into a buffer of the size that it tells."""
    size = read(*args, None, 0)
    buffer = (ctypes.c_ushort * (size // 2 + 1))()
    read(*args, buffer, size)
    return tidy(bytes(buffer)[: max(size - 2, 0)].decode("utf-16-le", "replace")).strip()
