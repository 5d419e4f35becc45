"""XML of any vocabulary: titles as headings, paragraphs, tables, and other elements as "name: value" lines."""

from lxml import etree

from indexing.document import one_line
from indexing.read.formats import table_text
from indexing.read.formats.extract import Extract, Limits, tidy
from indexing.read.formats.markup import flat_text, local_name, own_rows, parse_xml

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


def load(content: bytes, _media_type: str, _limits: Limits) -> Extract:
    root = parse_xml(content)
    blocks: list[str] = []
    _walk(root, 0, blocks)
    text = tidy("\n\n".join(blocks).replace("\n\n\0", "\n").replace("\0", ""))
    return Extract(text, _title(root))


def _title(root: etree._Element) -> str:
    for name in ("article-title", "invention-title", "title-of-invention", "title"):
        if (found := next(root.iter(f"{{*}}{name}"), None)) is not None and (title := flat_text(found)):
            return title[:300]
    return ""


def _walk(element: etree._Element, depth: int, blocks: list[str]) -> None:
    """Append the blocks of an element. NUL marks a line that follows the one before it without a blank line."""
    name = local_name(element)
    if not name:
        return
    if name in _TITLES:
        if title := flat_text(element):
            blocks.append(f"{'#' * min(max(depth, 1), 6)} {title}")
    elif name in _TABLES and (table := _table(element)):
        blocks.append(table)
    elif name in _PARAGRAPHS or _is_mixed(element):
        blocks.append(flat_text(element))
    elif len(element):
        inner = depth + (name in _SECTIONS or any(local_name(child) in _TITLES for child in element))
        for child in element:
            _walk(child, inner, blocks)
    elif value := one_line(element.text or ""):
        blocks.append(f"\0{name}: {value}")


def _is_mixed(element: etree._Element) -> bool:
    """Whether there is text between its children: a paragraph with inline elements."""
    if not len(element):
        return False
    return bool((element.text or "").strip()) or any((child.tail or "").strip() for child in element)


def _table(element: etree._Element) -> str:
    return table_text.render(
        [flat_text(cell) for cell in row if local_name(cell) in _CELLS] for row in own_rows(element, _ROWS)
    )
