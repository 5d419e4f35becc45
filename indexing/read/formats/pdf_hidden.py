"""Removes the text that no reader of a PDF's page sees: invisible, transparent, or white on nothing."""

import ctypes
from collections.abc import Iterator, Sequence
from math import inf
from typing import Any, NamedTuple

import pypdfium2.raw as pdfium_c

from indexing.read.formats.pdf_lines import POINTER, Box, direct

_WHITE = 0xF8
"""Of red, green and blue at least."""
_OPAQUE = 0x0D
"""Of 255; what is less opaque is not seen."""
_DEPTH = 8
_NOT_PAINTED = (pdfium_c.FPDF_TEXTRENDERMODE_INVISIBLE, pdfium_c.FPDF_TEXTRENDERMODE_CLIP)
_get = direct(pdfium_c.FPDFPage_GetObject, POINTER)
_get_in_form = direct(pdfium_c.FPDFFormObj_GetObject, POINTER)
_count_in_form = direct(pdfium_c.FPDFFormObj_CountObjects)
_type = direct(pdfium_c.FPDFPageObj_GetType)
_mode = direct(pdfium_c.FPDFTextObj_GetTextRenderMode)
_fill = direct(pdfium_c.FPDFPageObj_GetFillColor)
_Matrix = tuple[float, float, float, float, float, float]


class _Object(NamedTuple):
    at: int
    """Its number in the order of painting."""
    raw: Any
    form: Any
    """The form XObject that it is in; None on the page itself."""
    matrix: _Matrix
    """From its space to that of the page."""


def drop_hidden(page: Any) -> int:
    """Remove hidden text from the page in memory, and count it; the text of OCR stays over what it was read from."""
    if not _may_hide(ctypes.cast(page, POINTER), pdfium_c.FPDFPage_CountObjects(page), _get):
        return 0
    painted: list[_Object] = []
    unseen: list[_Object] = []
    white: list[_Object] = []
    has_text = False
    for at, (raw, form, matrix) in enumerate(_objects(page)):
        mode = pdfium_c.FPDFTextObj_GetTextRenderMode(raw)
        if mode == pdfium_c.FPDF_TEXTRENDERMODE_UNKNOWN:
            painted.append(_Object(at, raw, form, matrix))
        elif mode in _NOT_PAINTED or not (colours := _opaque_colours(raw, mode)):
            unseen.append(_Object(at, raw, form, matrix))
        elif min(map(min, colours)) >= _WHITE:
            white.append(_Object(at, raw, form, matrix))
        else:
            has_text = True
    scanned = [(each.at, _box(each)) for each in painted if unseen and not (has_text and _is_path(each.raw))]
    dark = [(each.at, _box(each)) for each in painted if white and (not _is_path(each.raw) or _is_dark(each.raw))]
    hidden = [text for text in unseen if not _lies_on(_box(text), scanned)]
    hidden += [text for text in white if not _lies_on(_box(text), dark, before=text.at)]
    for text in hidden:
        if text.form is None:
            pdfium_c.FPDFPage_RemoveObject(page, text.raw)
        else:
            pdfium_c.FPDFFormObj_RemoveObject(text.form, text.raw)
        pdfium_c.FPDFPageObj_Destroy(text.raw)
    places = {text.at for text in hidden}
    return sum(at - 1 not in places for at in places)


def _may_hide(holder: ctypes.c_void_p, count: int, get: Any, depth: int = 0) -> bool:
    """Whether there is any text that is transparent or white, on whatever ground, or not simply filled."""
    colour, raw = (ctypes.c_uint * 4)(), POINTER()
    parts = [ctypes.byref(colour, 4 * i) for i in range(4)]
    for number in range(count):
        raw.value = get(holder, number)
        mode = _mode(raw)
        if mode == pdfium_c.FPDF_TEXTRENDERMODE_FILL:
            red, green, blue, alpha = colour[:] if _fill(raw, *parts) else (0, 0, 0, 0)
            if alpha < _OPAQUE or (red >= _WHITE and green >= _WHITE and blue >= _WHITE):
                return True
        elif mode != pdfium_c.FPDF_TEXTRENDERMODE_UNKNOWN:
            return True
        elif depth < _DEPTH and _type(raw) == pdfium_c.FPDF_PAGEOBJ_FORM:  # noqa: SIM102 (easier to read)
            if _may_hide(raw, _count_in_form(raw), _get_in_form, depth + 1):
                return True
    return False


def _opaque_colours(text: Any, mode: int) -> list[tuple[int, int, int]]:
    """(red, green, blue) of what fills a text, draws its outline, or both."""
    found = []
    fill, stroke = pdfium_c.FPDFPageObj_GetFillColor, pdfium_c.FPDFPageObj_GetStrokeColor
    for get in ((fill,), (stroke,), (fill, stroke))[mode % 4]:
        colour = [ctypes.c_uint() for _ in range(4)]
        red, green, blue, alpha = (part.value for part in colour) if get(text, *colour) else (0, 0, 0, 255)
        if alpha >= _OPAQUE:
            found.append((red, green, blue))
    return found


def _objects(page: Any, form: Any = None, matrix: _Matrix = (1, 0, 0, 1, 0, 0), depth: int = 0) -> Iterator[Any]:
    """(object, form, matrix) of all that is painted, with what is in forms, in order."""
    count, get = pdfium_c.FPDFPage_CountObjects, pdfium_c.FPDFPage_GetObject
    if form is not None:
        count, get = pdfium_c.FPDFFormObj_CountObjects, pdfium_c.FPDFFormObj_GetObject
    holder = page if form is None else form
    for number in range(count(holder)):
        raw = get(holder, number)
        if depth < _DEPTH and pdfium_c.FPDFPageObj_GetType(raw) == pdfium_c.FPDF_PAGEOBJ_FORM:
            own = pdfium_c.FS_MATRIX()
            pdfium_c.FPDFPageObj_GetMatrix(raw, own)
            yield from _objects(page, raw, _product((own.a, own.b, own.c, own.d, own.e, own.f), matrix), depth + 1)
        else:
            yield raw, form, matrix


def _product(one: _Matrix, other: _Matrix) -> _Matrix:
    (a, b, c, d, e, f), (p, q, r, s, t, u) = one, other
    return a * p + b * r, a * q + b * s, c * p + d * r, c * q + d * s, e * p + f * r + t, e * q + f * s + u


def _is_path(raw: Any) -> bool:
    return bool(pdfium_c.FPDFPageObj_GetType(raw) == pdfium_c.FPDF_PAGEOBJ_PATH)


def _is_dark(path: Any) -> bool:
    """Whether it fills an area, or draws a single line, in another colour than white."""
    fill, stroke = ctypes.c_int(), ctypes.c_int()
    pdfium_c.FPDFPath_GetDrawMode(path, fill, stroke)
    colour = [ctypes.c_uint() for _ in range(4)]
    if fill.value:
        pdfium_c.FPDFPageObj_GetFillColor(path, *colour)
    elif stroke.value and pdfium_c.FPDFPath_CountSegments(path) == 2:  # noqa: PLR2004 (from one point to another)
        pdfium_c.FPDFPageObj_GetStrokeColor(path, *colour)
    else:
        return False
    return bool(colour[3].value >= _OPAQUE and any(part.value < _WHITE for part in colour[:3]))


def _lies_on(text: Box, grounds: Sequence[tuple[int, Box]], before: float = inf) -> bool:
    """Whether the middle of a text is within something that was painted before a number."""
    x, y = (text[0] + text[2]) / 2, (text[1] + text[3]) / 2
    return any(left <= x <= right and bottom <= y <= top for at, (left, bottom, right, top) in grounds if at < before)


def _box(each: _Object) -> Box:
    sides = [ctypes.c_float() for _ in range(4)]
    pdfium_c.FPDFPageObj_GetBounds(each.raw, *sides)
    left, bottom, right, top = (side.value for side in sides)
    a, b, c, d, e, f = each.matrix
    xs = [a * x + c * y + e for x in (left, right) for y in (bottom, top)]
    ys = [b * x + d * y + f for x in (left, right) for y in (bottom, top)]
    return min(xs), min(ys), max(xs), max(ys)
