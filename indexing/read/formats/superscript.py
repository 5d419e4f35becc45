"""Superscripts and subscripts as text: powers with "^", footnote marks in brackets, the rest as it stands."""

import re
from collections.abc import Iterable
from itertools import groupby, islice
from operator import itemgetter

from bs4 import BeautifulSoup
from bs4.element import NavigableString, PageElement, Tag

from indexing.document import one_line

_ORDINAL = re.compile(r"(st|nd|rd|th|er|ers|re|e|es|[èe]me|o|a|os|as|de|ste|[ºª])\.?", re.IGNORECASE)
_ABBREVIATED = re.compile(r"[A-Z](me|mes|lle|lles|gr|r|rs|s|o|os)")
_POWER = re.compile(r"[+-]?[\d.,/]+|[+-]?\d*[A-Za-z]|[+-]?\d*[^\W\d_]?[*+/ -][\w+*/ -]*")
_CHARGE = re.compile(r"\d*[+-]|[+-]\d")
_MARK = re.compile(r"\[?(\d{1,3}([,;-] ?\d{1,3})*|[a-z])\]?")
_NOTE = re.compile(r"\b(foot|end)?note|noteref|\bfn\b|\breference", re.IGNORECASE)
_VARIABLE = 3
"""Letters of a unit or variable at most, such as km or mol; after a longer word a number is the mark of a note."""
_NEIGHBOURS = 16
BLOCKS = frozenset(
    ("p", "div", "li", "td", "th", "tr", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "table", "ul", "ol", "dt",
     "dd", "section", "body", "blockquote"),
)  # fmt: skip


def spell(soup: BeautifulSoup) -> BeautifulSoup:
    """Write the text of each <sup> and <sub> as it is to be read; the same soup."""
    for element in soup.find_all(["sup", "sub"]):
        if element.find(["sup", "sub", "p", "table"]) is None:
            inner = one_line(element.get_text())
            form = _above if element.name == "sup" else _below
            element.string = form(element, inner)
    return soup


def _above(element: Tag, text: str) -> str:
    return raised(text, _before(element), _after(element), is_note=_is_note(element))


def _below(element: Tag, text: str) -> str:
    return lowered(text, _before(element), _after(element))


def joined(runs: Iterable[tuple[str, int]]) -> str:
    """The text of a paragraph's runs: (text, 1 for raised, -1 for lowered, 0 for the rest)."""
    parts = [("".join(text for text, _ in group), at) for at, group in groupby(runs, key=itemgetter(1))]
    result = ""
    for number, (text, at) in enumerate(parts, 1):
        after = parts[number][0][:_NEIGHBOURS] if number < len(parts) else ""
        form = (lowered, None, raised)[at + 1] if text.strip() else None
        result += form(text.strip(), result[-_NEIGHBOURS:], after) if form else text
    return result


def raised(text: str, before: str, after: str, *, is_note: bool = False) -> str:
    """A superscript between these texts, as it is to be read."""
    text = text.replace("\u2212", "-").replace("\u2013", "-")
    base = re.search(r"[^\W\d_]*\Z", before)
    letters = len(base[0]) if base else 0
    if is_note:
        return _mark(text, before, after)
    if before[-1:].isdigit() or before[-1:] in (")", "]", "}"):
        return text if _is_ordinal(before, text) else _power(text)
    if not letters:
        return _mark(text, before, after) if _MARK.fullmatch(text) and not _is_isotope(before, after) else text
    if _CHARGE.fullmatch(text) and text[-1] in "+-":
        return text
    abbreviated = letters == 1 and _ABBREVIATED.fullmatch(before[-1:] + text)
    if re.fullmatch(r"-\d+", text) or (letters <= _VARIABLE and _POWER.fullmatch(text) and not abbreviated):
        return _power(text)
    return _mark(text, before, after) if _MARK.fullmatch(text) else text


def lowered(text: str, before: str, after: str) -> str:
    """An index stays beside its letters (CO2); a digit is kept apart from digits around it."""
    joint = "_" if before[-1:].isdigit() and text[:1].isdigit() else ""
    return joint + text + (" " if text[-1:].isdigit() and after[:1].isdigit() else "")


def _power(text: str) -> str:
    if not any(map(str.isalnum, text)):
        return text
    return f"^({text})" if re.search(r"\w[*+/ -]", text) else f"^{text}"


def _mark(text: str, before: str, after: str) -> str:
    """The mark of a note, in brackets and apart from the words around it."""
    if not text:
        return ""
    text = text if text.startswith(("[", "(")) or not text[0].isalnum() else f"[{text}]"
    left = " " if before[-1:].strip() and text[0] == "[" else ""
    return left + text + (" " if after[:1].isalnum() else "")


def _is_note(element: Tag) -> bool:
    """Whether it holds or is a link within the document, or is named as a note."""
    links = [*element.find_all("a"), *islice((up for up in element.parents if up.name == "a"), 1)]
    if any("#" in str(link.get("href") or "") for link in links):
        return True
    named = (str(node.get(name) or "") for node in (element, *links) for name in ("class", "role", "epub:type"))
    return any(map(_NOTE.search, named))


def _is_ordinal(before: str, text: str) -> bool:
    return before[-1:].isdigit() and _ORDINAL.fullmatch(text) is not None


def _is_isotope(before: str, after: str) -> bool:
    """Whether a number stands before a symbol, as in 14C."""
    return not before[-1:].strip() and re.match(r"[A-Z][a-z]?(?![a-z])", after) is not None


def _before(element: Tag) -> str:
    """The end of the text before it, within its block."""
    text = ""
    for node in islice(element.previous_elements, _NEIGHBOURS):
        if isinstance(node, NavigableString):
            text = node[-_NEIGHBOURS:] + text
        elif isinstance(node, Tag) and node.name in BLOCKS:
            break
        if len(text) >= _NEIGHBOURS:
            break
    return text


def _after(element: Tag) -> str:
    """The start of the text after it, within its block."""
    inside: list[PageElement] = [element, *element.descendants]
    for node in islice(inside[-1].next_elements, _NEIGHBOURS):
        if isinstance(node, NavigableString):
            if node:
                return node[:_NEIGHBOURS]
        elif isinstance(node, Tag) and (node.name in BLOCKS or node.name in ("sup", "sub")):
            break
    return ""
