"""XML of any vocabulary: titles as headings, paragraphs, tables; other elements and attributes as "name: value"."""

import html
import re
from collections import Counter

from lxml import etree

from indexing.document import one_line
from indexing.markdown import escaped
from indexing.read.formats import table_text
from indexing.read.formats.extract import Extract, Limits, counted, tidy
from indexing.read.formats.html import body_markdown
from indexing.read.formats.markup import flat_text, local_name, own_rows, parse_xml
from indexing.read.formats.table_spans import Cell, spanned, whole_rows

# Names in JATS, DocBook, TEI, RSS and patents.
_TITLES = frozenset(
    ("title", "article-title", "invention-title", "heading", "head", "h1", "h2", "h3", "h4", "title-of-invention")
)
_SECTIONS = frozenset(
    ("sec", "section", "chapter", "div", "subsec", "item", "entry", "abstract", "description", "claims")
)
_PARAGRAPHS = frozenset(("p", "para", "paragraph", "simpara", "claim-text", "li", "listitem", "caption", "list-item"))
_TABLES = frozenset(("table", "tgroup", "informaltable"))
_ROWS = frozenset(("tr", "row"))
_CELLS = frozenset(("td", "th", "entry"))
_TECHNICAL = frozenset(
    """
    id idref idrefs rid uuid guid class style lang version encoding align valign border cellpadding cellspacing bgcolor
    rowspan colspan
    """.split()  # noqa: SIM905 (easier to read)
)
_SHOWN = ("alt", "title", "label", "name", "text", "value")
"""Attributes that stand for the text of an empty element within a sentence."""
_DRAWN = frozenset(("http://www.w3.org/2000/svg", "http://www.w3.org/1998/Math/MathML"))
"""Namespaces whose attributes are geometry."""
_LONG_WORD = 300
"""Characters without a blank, as of data in base64."""

_NAMES = (
    "a|abbr|b|blockquote|br|center|code|dd|del|div|dl|dt|em|figcaption|figure|font|h[1-6]|hr|i|iframe|img|ins|li|ol|p|pre"
    "|q|s|script|section|small|span|strike|strong|style|sub|sup|table|tbody|td|tfoot|th|thead|tr|tt|u|ul"
)
_MARKUP = re.compile(
    rf"</(?:{_NAMES})\s{{0,9}}>|<(?:br|hr|img)(?:\s[^<>]*+)?/?>|\A\s*+<(?:p|div)(?:\s[^<>]*+)?>", re.IGNORECASE
)
"""Of HTML, in text: an end tag, an element without one, or a paragraph at the start."""

_ENTITY = re.compile(r"&(?:#\w{2,7}|[A-Za-z]{2,8});")


def load(content: bytes, _media_type: str, _limits: Limits) -> Extract:
    root = parse_xml(content)
    for element in root.iter("*"):
        if _is_mixed(element):
            _show_attributes(element)
    reader = _Reader()
    reader.walk(root, 0)
    text = tidy("\n\n".join(reader.blocks).replace("\n\n\0", "\n").replace("\0", ""))
    return Extract(text, _title(root), omitted=counted(reader.omitted))


def _title(root: etree._Element) -> str:
    for name in ("article-title", "invention-title", "title-of-invention", "title"):
        if (found := next(root.iter(f"{{*}}{name}"), None)) is not None and (title := _Reader().line(flat_text(found))):
            return title[:300]
    return ""


class _Reader:
    def __init__(self) -> None:
        self.blocks: list[str] = []
        """NUL marks a line that follows the one before it without a blank line."""
        self.omitted: Counter[str] = Counter()

    def walk(self, element: etree._Element, depth: int) -> None:
        """Append the blocks of an element."""
        name = local_name(element)
        if not name:
            return
        if name in _TITLES:
            if title := self.line(flat_text(element)):
                self.blocks.append(f"{'#' * min(max(depth, 1), 6)} {title}")
        elif name in _TABLES and (table := self._table(element)):
            self.blocks.append(table)
        elif name in _PARAGRAPHS or _is_mixed(element):
            self.blocks += [self._text(element), *(f"\0{pairs}" for pairs in self._attributes(element))]
        elif len(element):
            self.blocks += [f"{name} {pairs}" for pairs in self._attributes(element)]
            inner = depth + (name in _SECTIONS or any(local_name(child) in _TITLES for child in element))
            for child in element:
                self.walk(child, inner)
        else:
            self._value(name, element)

    def _value(self, name: str, element: etree._Element) -> None:
        value, pairs = self._text(element), self._attributes(element)
        if "\n" in value:
            self.blocks += [f"{name}:", f"{value}\n", *pairs]
        elif value:
            self.blocks.append(f"\0{', '.join([f'{name}: {value}', *pairs])}")
        elif pairs:
            self.blocks.append(f"\0{name} {pairs[0]}")

    def _table(self, element: etree._Element) -> str:
        rows = [
            [
                Cell(self.line(flat_text(cell)), _rows(cell), spanned(cell.get("colspan")))
                for cell in row
                if _is_cell(cell)
            ]
            for row in own_rows(element, _ROWS)
        ]
        return table_text.render([cell or "" for cell in row] for row in whole_rows(rows))

    def _attributes(self, element: etree._Element) -> list[str]:
        """ "name: value, ..." of those that say something, as one string; [] without any.

        Those with a prefix, ids, and what only concerns the looks are technical.
        """
        if local_name(element) in _PARAGRAPHS or etree.QName(element).namespace in _DRAWN:
            return []
        found = [
            f"{name}: {value}"
            for name, raw in _content_of(element)
            if (value := self.line(raw)) and len(max(value.split(), key=len)) <= _LONG_WORD
        ]
        return [", ".join(found)] if found else []

    def _text(self, element: etree._Element) -> str:
        """All text below it, on one line; as Markdown where it is escaped markup."""
        text = flat_text(element)
        return self._markup("".join(map(str, element.itertext()))) if _MARKUP.search(text) else escaped(self.line(text))

    def line(self, text: str) -> str:
        """Text, an attribute or escaped markup as one line of text."""
        text = self._markup(text).replace("**", "") if _MARKUP.search(text) else text
        return one_line(_ENTITY.sub(lambda found: html.unescape(found[0]), text))

    def _markup(self, text: str) -> str:
        return body_markdown(text, omitted=self.omitted)


def _content_of(element: etree._Element) -> list[tuple[str, str]]:
    named = [(str(name), str(value)) for name, value in element.attrib.items()]
    return [(name, value) for name, value in named if not name.startswith("{") and name.lower() not in _TECHNICAL]


def _is_mixed(element: etree._Element) -> bool:
    """Whether there is text between its children: a paragraph with inline elements."""
    if not len(element):
        return False
    return bool((element.text or "").strip()) or any((child.tail or "").strip() for child in element)


def _show_attributes(paragraph: etree._Element) -> None:
    """Give the empty elements of a sentence their text."""
    for child in paragraph:
        if isinstance(child.tag, str) and not len(child) and not child.text:
            child.text = next((value for name in _SHOWN if (value := child.get(name))), None)


def _is_cell(element: etree._Element) -> bool:
    return local_name(element) in _CELLS


def _rows(cell: etree._Element) -> int:
    """Rows that it spans in HTML's model, or in that of CALS."""
    return spanned(cell.get("rowspan")) if cell.get("rowspan") else 1 + int(cell.get("morerows", "0")[:5] or 0)
