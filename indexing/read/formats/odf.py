"""ODT and ODP: headings by outline level, lists, tables; in ODP each slide is a page."""

from itertools import repeat

from lxml import etree

from indexing.document import one_line
from indexing.errors import UnreadableError
from indexing.markdown import escaped
from indexing.read.formats import table_text
from indexing.read.formats.extract import Extract, Limits, joined_pages, tidy
from indexing.read.formats.markup import Package, local_name
from indexing.read.formats.odf_tables import rows_of

_TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
_TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
_OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
_DRAW = "{urn:oasis:names:tc:opendocument:xmlns:drawing:1.0}"
_PRESENTATION = "{urn:oasis:names:tc:opendocument:xmlns:presentation:1.0}"
_DC = "{http://purl.org/dc/elements/1.1/}"
_SKIPPED = frozenset(("annotation", "tracked-changes", "sequence-decls", "forms", "desc", "title", "settings"))


def load(content: bytes, media_type: str, limits: Limits) -> Extract:
    package = Package(content, limits)
    if "META-INF/manifest.xml" in package.names and b"encryption-data" in package.read("META-INF/manifest.xml"):
        raise UnreadableError("protected by a password")
    body = package.xml("content.xml").find(f"{_OFFICE}body")
    if body is None or not len(body):
        raise UnreadableError("empty: it has no body")
    title = one_line(package.xml("meta.xml").findtext(f".//{_DC}title") or "") if "meta.xml" in package.names else ""
    if "presentation" in media_type:
        pages = [tidy(_slide(page)) for page in body.iter(f"{_DRAW}page")]
        text, starts = joined_pages(pages, limits)
    else:
        text, starts = tidy("\n\n".join(_blocks(body[0]))), ()
    return Extract(text, title, starts)


def _slide(page: etree._Element) -> str:
    """Title frames as headings, then the other frames, then the notes."""
    blocks: list[str] = []
    for frame in page:
        inner = _blocks(frame)
        if frame.get(f"{_PRESENTATION}class") == "title" and inner:
            blocks.insert(0, f"## {one_line(' '.join(inner))}")
        elif local_name(frame) == "notes":
            blocks += [f"Notes: {block}" for block in inner]
        else:
            blocks += inner
    return "\n\n".join(blocks)


def _blocks(parent: etree._Element, depth: int = 0) -> list[str]:
    """Headings, paragraphs, lists and tables in reading order."""
    blocks: list[str] = []
    for element in parent:
        name = local_name(element)
        if element.tag == f"{_TEXT}h":
            level = int(element.get(f"{_TEXT}outline-level", "1"))
            blocks += [f"{'#' * min(max(level, 1), 6)} {text}"] if (text := _text_of(element)) else []
        elif element.tag == f"{_TEXT}p":
            blocks += [escaped(_text_of(element)), *_text_boxes(element)]
        elif element.tag == f"{_TEXT}list":
            blocks.append("\n".join(_items(element, depth)))
        elif element.tag == f"{_TABLE}table":
            blocks.append(_table(element))
        elif name not in _SKIPPED:
            blocks += _blocks(element, depth)
    return [block for block in blocks if block]


def _text_boxes(paragraph: etree._Element) -> list[str]:
    """The blocks of text boxes that are anchored in a paragraph."""
    return [block for box in paragraph.iter(f"{_DRAW}text-box") for block in _blocks(box)]


def _items(element: etree._Element, depth: int) -> list[str]:
    lines: list[str] = []
    for item in element:
        for child in item:
            if child.tag == f"{_TEXT}list":
                lines += _items(child, depth + 1)
            elif text := _text_of(child):
                lines.append(f"{'  ' * depth}- {text}")
    return lines


def _table(table: etree._Element) -> str:
    """A table inside a cell becomes that cell's text."""
    rows = (
        row
        for _row, cells, repeated in rows_of(table)
        for row in repeat(["" if cell is None else " ".join(_blocks(cell)) for cell in cells], repeated)
    )
    return table_text.render(rows)


def _text_of(element: etree._Element) -> str:
    parts: list[str] = []
    _gather(element, parts)
    return one_line("".join(parts))


def _gather(element: etree._Element, parts: list[str]) -> None:
    name = local_name(element)
    if name in _SKIPPED or name in ("note-citation", "frame", "custom-shape"):
        return
    if name in ("tab", "s", "line-break"):
        parts.append(" ")
    parts.append(element.text or "")
    for child in element:
        _gather(child, parts)
        parts.append(child.tail or "")
