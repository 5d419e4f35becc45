"""Drops the runs of a DOCX that no reader sees: hidden by Word, of no size, or white on nothing."""

from collections.abc import Iterator

from lxml import etree

from indexing.read.formats.docx_numbering import Styles, value
from indexing.read.formats.markup import local_name

_OFF = ("0", "false", "off", "none")
_SMALL = 2
"""Half points."""
_WHITE = ("FFFFFF", "FEFEFE")
_KEPT = ("rPr", "fldChar", "instrText")


def drop_hidden(root: etree._Element, styles: Styles) -> int:
    """Empty the hidden runs of a part, but for the marks of its fields; how many texts there were."""
    dropped = 0
    for run in root.iter("{*}r"):
        if run.find("{*}t") is not None and _is_hidden(run, styles):
            before = run.getprevious()
            goes_on = before is not None and before.get("hidden") is not None
            # What stands in a fallback stands in a choice, too.
            dropped += not goes_on and next(run.iterancestors("{*}Fallback"), None) is None
            run.set("hidden", "")
            for child in [child for child in run if local_name(child) not in _KEPT]:
                run.remove(child)
    return dropped


def _is_hidden(run: etree._Element, styles: Styles) -> bool:
    found: dict[str, str] = {}
    for properties in _properties(run, styles):
        for each in properties:
            found.setdefault(local_name(each), value(each) or "")
    if found.get("vanish", "0") not in _OFF:
        return True
    size = found.get("sz", "")
    if size.isdecimal() and int(size) <= _SMALL:
        return True
    return found.get("color", "").upper() in _WHITE and not _has_ground(run, styles)


def _properties(run: etree._Element, styles: Styles) -> Iterator[etree._Element]:
    """Those of the run, then of its style and of its paragraph's style, each before what it is based on."""
    yield from run.iterchildren("{*}rPr")
    paragraph = next(run.iterancestors("{*}p"), None)
    of_paragraph = None if paragraph is None else value(paragraph.find("{*}pPr/{*}pStyle"))
    for style in (value(run.find("{*}rPr/{*}rStyle")), of_paragraph or styles.default):
        for each in styles.chain(style):
            yield from each.iterchildren("{*}rPr")


def _has_ground(run: etree._Element, styles: Styles) -> bool:
    """Whether it may stand on a colour: of the page, a text box, a paragraph, a cell, a table or a style."""
    if run.getroottree().getroot().find("{*}background") is not None:
        return True
    for up in (run, *run.iterancestors("{*}p", "{*}tc", "{*}tbl", "{*}txbxContent")):
        properties = up.find(f"{{*}}{local_name(up)}Pr")
        if local_name(up) == "txbxContent" or (properties is not None and _is_coloured(properties)):
            return True
        for style in () if properties is None else properties.iter("{*}rStyle", "{*}pStyle", "{*}tblStyle"):
            if any(map(_is_coloured, styles.chain(value(style)))):
                return True
    return False


def _is_coloured(properties: etree._Element) -> bool:
    fills = (value(shading, "fill") or value(shading) for shading in properties.iter("{*}shd", "{*}highlight"))
    return any(fill not in (None, "", "auto", "clear", "none", "FFFFFF", "white") for fill in fills)
