"""ODT and ODP: headings by outline level, lists, tables; in ODP each slide is a page."""

from collections import Counter
from collections.abc import Iterable
from itertools import repeat

from lxml import etree

from indexing.document import one_line
from indexing.errors import UnreadableError
from indexing.markdown import escaped
from indexing.read.formats import table_text
from indexing.read.formats.extract import Extract, Limits, counted, joined_pages, tidy
from indexing.read.formats.markup import Package, local_name
from indexing.read.formats.odf_tables import TABLE, rows_of
from indexing.read.formats.odf_text import OFFICE, SKIPPED, TEXT, Reader, running_lines

_DRAW = "{urn:oasis:names:tc:opendocument:xmlns:drawing:1.0}"
_PRESENTATION = "{urn:oasis:names:tc:opendocument:xmlns:presentation:1.0}"
_DC = "{http://purl.org/dc/elements/1.1/}"


def load(content: bytes, media_type: str, limits: Limits) -> Extract:
    package = Package(content, limits)
    if "META-INF/manifest.xml" in package.names and b"encryption-data" in package.read("META-INF/manifest.xml"):
        raise UnreadableError("protected by a password")
    root = package.xml("content.xml")
    body = root.find(f"{OFFICE}body")
    if body is None or not len(body):
        raise UnreadableError("empty: it has no body")
    title = one_line(package.xml("meta.xml").findtext(f".//{_DC}title") or "") if "meta.xml" in package.names else ""
    styles = [package.xml("styles.xml")] if "styles.xml" in package.names else []
    omitted: Counter[str] = Counter()
    blocks = _Blocks((root, *styles), omitted)
    if "presentation" in media_type:
        pages = [tidy(blocks.slide(page)) for page in body.iter(f"{_DRAW}page")]
        text, starts = joined_pages(pages, limits)
    else:
        running = [line for part in styles for line in running_lines(part, blocks.reader)]
        text, starts = tidy("\n\n".join((*blocks.below(body[0]), *running))), ()
    return Extract(text, title, starts, omitted=counted(omitted))


class _Blocks:
    """Blocks of Markdown of one document."""

    def __init__(self, parts: Iterable[etree._Element], omitted: Counter[str]) -> None:
        self.reader = Reader(parts, omitted)
        self._omitted = omitted

    def slide(self, page: etree._Element) -> str:
        """Title frames as headings, then the other frames, then the notes."""
        blocks: list[str] = []
        for frame in page:
            inner = self.below(frame)
            if frame.get(f"{_PRESENTATION}class") == "title" and inner:
                blocks.insert(0, f"## {one_line(' '.join(inner))}")
            elif local_name(frame) == "notes":
                blocks += [f"Notes: {block}" for block in inner]
            else:
                blocks += inner
        return "\n\n".join(blocks)

    def below(self, parent: etree._Element, depth: int = 0) -> list[str]:
        """Headings, paragraphs, lists and tables in reading order."""
        blocks: list[str] = []
        for element in parent:
            name = local_name(element)
            if element.tag == f"{TEXT}h":
                level = int(element.get(f"{TEXT}outline-level", "1"))
                text = self.reader.text_of(element)
                blocks += [f"{'#' * min(max(level, 1), 6)} {text}"] if text else []
            elif element.tag == f"{TEXT}p":
                blocks += [escaped(self.reader.text_of(element)), *self._anchored(element)]
            elif element.tag == f"{TEXT}list":
                blocks.append("\n".join(self._items(element, depth)))
            elif element.tag == f"{TABLE}table":
                blocks.append(self._table(element))
            elif name == "annotation":
                blocks += self.reader.comments_of(element)
            elif name not in SKIPPED:
                blocks += self.below(element, depth)
        return [block for block in blocks if block]

    def _anchored(self, paragraph: etree._Element) -> list[str]:
        """The blocks of text boxes, and the comments, that are anchored in a paragraph."""
        boxes = [block for box in paragraph.iter(f"{_DRAW}text-box") for block in self.below(box)]
        return [*boxes, *self.reader.comments_of(paragraph)]

    def _items(self, element: etree._Element, depth: int) -> list[str]:
        lines: list[str] = []
        for item in element:
            for child in item:
                if child.tag == f"{TEXT}list":
                    lines += self._items(child, depth + 1)
                elif text := self.reader.text_of(child):
                    lines.append(f"{'  ' * depth}- {text}")
                    lines += [f"{'  ' * depth}  {comment}" for comment in self.reader.comments_of(child)]
        return lines

    def _table(self, table: etree._Element) -> str:
        """A table inside a cell becomes that cell's text."""
        rows = (
            row
            for cells, repeated in rows_of(table, self._omitted)
            for row in repeat(["" if cell is None else " ".join(self.below(cell)) for cell in cells], repeated)
        )
        return table_text.render(rows)
