"""Writes the numbers of XLSX sheets as the sheets show them, and errors as their names: calamine knows no formats."""

import re
from collections import Counter
from collections.abc import Mapping

from indexing.read.formats import number_format
from indexing.read.formats.markup import Package

_STYLES = "xl/styles.xml"
_ERROR = re.compile(rb'(<(?:\w{1,20}:)?c [^<>]*?\bt=")e(?=")')
_UNCALCULATED = re.compile(
    rb'<((?:\w{1,20}:)?)c (?![^<>]*? t="str")[^<>]*+>\s*<(?:\w{1,20}:)?f\b[^<>]*+(?<!/)>[^<>]*+</(?:\w{1,20}:)?f>\s*'
    rb"(?:<(?:\w{1,20}:)?v\s*/>|<(?:\w{1,20}:)?v></(?:\w{1,20}:)?v>)?\s*</\1c>"
)


def number_formats(package: Package) -> dict[str, number_format.Show]:
    """What writes the numbers of a cell, by the cell's style; without styles that say nothing of numbers."""
    if _STYLES not in package.names:
        return {}
    root = package.xml(_STYLES)
    codes = {found.get("numFmtId", ""): found.get("formatCode", "") for found in root.iterfind("{*}numFmts/{*}numFmt")}
    codes = number_format.BUILT_IN | codes
    shows = {
        str(at): number_format.of(codes.get(style.get("numFmtId", ""), ""))
        for at, style in enumerate(root.iterfind("{*}cellXfs/{*}xf"))
    }
    return {at: show for at, show in shows.items() if show is not None}


def shown(sheet: bytes, formats: Mapping[str, number_format.Show], omitted: Counter[str]) -> bytes:
    """The sheet with texts for formatted numbers and for errors; formulas that were never calculated are counted."""
    if b"<f" in sheet or b":f" in sheet:
        omitted["uncalculated formula"] += sum(1 for _ in _UNCALCULATED.finditer(sheet))
    if b't="e"' in sheet:
        sheet = _ERROR.sub(rb"\1str", sheet)
    if not formats:
        return sheet
    styles = "|".join(formats).encode()
    cell = re.compile(
        rb' s="(' + styles + rb')"(?: t="n")?(>(?:\s*<(?:\w{1,20}:)?f\b[^<>]*+(?:(?<=/)>|>[^<>]*+</(?:\w{1,20}:)?f>))?'
        rb"\s*<(?:\w{1,20}:)?v>)([^<>]{1,40})(?=<)"
    )
    shows = {at.encode(): show for at, show in formats.items()}
    pieces = cell.split(sheet)
    for at in range(1, len(pieces), 4):
        before, style, number = pieces[at - 1], pieces[at], pieces[at + 2]
        pieces[at] = b' s="%b"' % style
        if b' t="' not in before[before.rfind(b"<") :]:
            try:
                text = shows[style](float(number))
            except (ValueError, OverflowError):
                continue
            pieces[at] = b' t="str"'
            pieces[at + 2] = text.replace("&", "&amp;").replace("<", "&lt;").encode()
    return b"".join(pieces)
