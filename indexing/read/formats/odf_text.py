"""The text of OpenDocument paragraphs: powers, notes in brackets; hidden text is dropped, comments are kept apart."""

from collections import Counter
from collections.abc import Iterable, Iterator

from lxml import etree

from indexing.document import one_line
from indexing.read.formats.markup import local_name
from indexing.read.formats.superscript import joined

TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
_STYLE = "{urn:oasis:names:tc:opendocument:xmlns:style:1.0}"
OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
SKIPPED = frozenset(("tracked-changes", "sequence-decls", "forms", "desc", "title", "settings"))
_NOT_IN_LINE = SKIPPED | {"annotation-end", "note-citation", "frame", "custom-shape"}
_BLANKS = frozenset(("tab", "s", "line-break"))
_LEAST_WORDS = 4
"""Of a line that counts pages: "Page 1" says nothing."""
_DEEPEST = 50
"""Styles that are based on each other."""


class Reader:
    """Texts of one document."""

    def __init__(self, parts: Iterable[etree._Element], omitted: Counter[str]) -> None:
        """Of the parts, which are content.xml and styles.xml, the styles are looked at."""
        styles = [style for part in parts for style in part.iter(f"{_STYLE}style")]
        self._styles = {(style.get(f"{_STYLE}name"), style.get(f"{_STYLE}family")): style for style in styles}
        self._omitted = omitted

    def text_of(self, element: etree._Element) -> str:
        """On one line."""
        return one_line(joined(self._runs(element, 0)))

    def comments_of(self, element: etree._Element) -> list[str]:
        """The comments that are anchored in it."""
        found = (
            one_line(" ".join(map(self.text_of, note.iter(f"{TEXT}p")))) for note in element.iter(f"{OFFICE}annotation")
        )
        return [f"Comment: {text}" for text in found if text]

    def is_hidden(self, element: etree._Element) -> bool:
        """Whether no reader sees it, whose text is counted then."""
        hidden = local_name(element).startswith("hidden-") or self._property(element, "display", TEXT) == "none"
        if hidden and "".join(map(str, element.itertext())).strip():
            self._omitted["hidden text"] += 1
        return hidden

    def _runs(self, element: etree._Element, position: int) -> Iterator[tuple[str, int]]:
        name = local_name(element)
        if name in _NOT_IN_LINE or name == "annotation" or self.is_hidden(element):
            return
        if name == "note":
            text = " ".join(map(self.text_of, element.iterfind(f"{TEXT}note-body/*")))
            yield (f" [{text}] " if text else ""), 0
            return
        if name in _BLANKS:
            yield " ", 0
        place = (self._property(element, "text-position", _STYLE) or "").partition(" ")[0]
        if place:
            position = -1 if place.startswith(("sub", "-")) else int(place.strip("0%") != "")
        yield element.text or "", position
        for child in element:
            yield from self._runs(child, position)
            yield child.tail or "", position

    def _property(self, element: etree._Element, name: str, namespace: str) -> str | None:
        """Of the text in this element, by its style."""
        family = {"span": "text", "a": "text", "p": "paragraph", "h": "paragraph"}.get(local_name(element))
        style = element.get(f"{TEXT}style-name") if family else None
        for _ in range(_DEEPEST):
            found = self._styles.get((style, family))
            if found is None:
                break
            for properties in found.iterfind(f"{_STYLE}text-properties"):
                if (value := properties.get(f"{namespace}{name}")) is not None:
                    return value
            style = found.get(f"{_STYLE}parent-style-name")
        return None


def running_lines(styles: etree._Element, reader: Reader) -> list[str]:
    """The lines of all headers and footers, each once, with more words than the number of a page."""
    lines: dict[str, None] = {}
    kinds = (f"{_STYLE}{kind}{which}" for kind in ("header", "footer") for which in ("", "-left", "-first"))
    for part in styles.iter(*kinds):
        kind = "Footer" if local_name(part).startswith("footer") else "Header"
        for paragraph in part.iter(f"{TEXT}p", f"{TEXT}h"):
            text = reader.text_of(paragraph)
            counts = paragraph.find(f".//{TEXT}page-number") is not None
            if any(map(str.isalpha, text)) and len(text.split()) >= _LEAST_WORDS * counts:
                lines[f"{kind}: {text}"] = None
    return list(lines)
