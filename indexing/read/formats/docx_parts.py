"""Rewrites the parts of a DOCX before mammoth reads it: what mammoth passes over becomes what it knows."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lxml import etree

from indexing.document import one_line
from indexing.errors import UnreadableError
from indexing.read.formats import docx_equations, docx_hidden, docx_numbering, docx_rewrite, docx_tables, drawings
from indexing.read.formats.extract import counted
from indexing.read.formats.markup import Package, local_name, xml_parser

_WITH_TEXT = ("footnotes", "endnotes", "comments")
_RESERVED = dict.fromkeys(range(0xFDD0, 0xFDF0))
"""Noncharacters, which mark places between the rewriting and the final text."""


def main_part(package: Package) -> str:
    """The document that the package names, such as word/document2.xml."""
    named = (rel.target for rel in package.relationships("") if rel.kind == "officeDocument")
    return next((part for part in named if part in package.names), "word/document.xml")


@dataclass(frozen=True, slots=True)
class Rewritten:
    content: bytes
    chunks: tuple[str, ...]
    """Markdown of the embedded documents (w:altChunk), diagrams and charts, whose places `with_chunks` fills."""
    omitted: tuple[str, ...]


def rewritten(package: Package, read_chunk: Callable[[str, bytes], str]) -> Rewritten:
    """The same DOCX, all of it in words that mammoth reads; `read_chunk` reads an embedded document by its name."""
    main = main_part(package)
    related = package.relationships(main)

    def of(kind: str) -> list[str]:
        parts = [rel.target for rel in related if rel.kind == kind] or [f"word/{kind}.xml"]
        return [part for part in parts if part in package.names]

    bodies = {name: strict_xml(package.read(name)) for name in (main, *(n for kind in _WITH_TEXT for n in of(kind)))}
    numbering, styles = (next((package.xml(name) for name in of(kind)), None) for kind in ("numbering", "styles"))
    named = docx_numbering.Styles(styles)
    running = [package.xml(part) for kind in ("header", "footer") for part in of(kind)]
    omitted = Counter(
        {"hidden text": sum(docx_hidden.drop_hidden(part, named) for part in (*bodies.values(), *running))}
    )
    for body in bodies.values():
        for text in body.iter("{*}t"):
            text.text = (text.text or "").translate(_RESERVED)
        docx_rewrite.unwrap(body, named)
        docx_rewrite.flatten_tables(body)
        docx_equations.spell(body)
    docx_numbering.number(bodies[main], numbering, styles)
    docx_tables.unmerge(bodies[main])
    targets = {rel.id: rel.target for rel in related}
    chunks = _take_chunks(bodies[main], package, targets, read_chunk, omitted)
    _take_drawings(bodies[main], package, targets, chunks)
    for body in bodies.values():
        omitted += docx_rewrite.left_out(body)
    _append_running(bodies[main], running)
    for name in of("comments"):
        for comment in bodies[name].iter("{*}comment"):
            words = one_line(" ".join(text.text or "" for text in comment.iter("{*}t")))
            if words and (end := bodies[main].find("{*}body")) is not None:
                end.append(docx_rewrite.text_paragraph(end, f"Comment: {words}"))
    new = package.with_parts({name: etree.tostring(body) for name, body in bodies.items()})
    return Rewritten(new, tuple(chunks), counted(+omitted))


def with_chunks(markdown: str, chunks: Sequence[str]) -> str:
    return re.sub("\ufdd2([0-9]{1,6})\ufdd3", lambda found: chunks[int(found[1])], markdown)


def _take_chunks(
    body: etree._Element,
    package: Package,
    targets: dict[str, str],
    read_chunk: Callable[[str, bytes], str],
    omitted: Counter[str],
) -> list[str]:
    """Read each embedded document once, and mark its place; what cannot be read is counted."""
    chunks: list[str] = []
    for place in list(body.iter("{*}altChunk")):
        identity = next((found for key, found in place.attrib.items() if str(key).endswith("}id")), "")
        name = targets.pop(str(identity), "")
        try:
            text = read_chunk(name, package.read(name))
        except UnreadableError:
            omitted["embedded document"] += 1
        else:
            place.addnext(docx_rewrite.text_paragraph(place, f"\ufdd2{len(chunks)}\ufdd3"))
            chunks.append(text)
    return chunks


def _take_drawings(body: etree._Element, package: Package, targets: dict[str, str], chunks: list[str]) -> None:
    """Take out each diagram and chart that can be read, and mark its place behind its paragraph or table."""
    for element in reversed(list(body.iter("{*}chart", "{*}relIds"))):
        text = drawings.drawing(element, package, targets)[1]
        outer, around = element.getparent(), list(element.iterancestors("{*}p", "{*}tbl"))
        if text and around and outer is not None:
            around[-1].addnext(docx_rewrite.text_paragraph(body, f"\ufdd2{len(chunks)}\ufdd3"))
            chunks.append(text)
            outer.remove(element)


def _append_running(main: etree._Element, parts: list[etree._Element]) -> None:
    """The lines of all headers and footers, each once, after the text."""
    body = main.find("{*}body")
    if body is None:
        return
    lines: dict[str, None] = {}
    for part in parts:
        kind = "Footer" if local_name(part) == "ftr" else "Header"
        lines |= {f"{kind}: {line.translate(_RESERVED)}": None for line in docx_rewrite.running_lines(part)}
    for line in lines:
        body.append(docx_rewrite.text_paragraph(body, line))


def strict_xml(content: bytes) -> etree._Element:
    """The root. A part that is not well-formed is refused: its end would be lost without a word."""
    return etree.fromstring(content, xml_parser(recover=False))
