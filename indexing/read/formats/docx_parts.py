"""Rewrites the parts of a DOCX before mammoth reads it: what mammoth passes over becomes what it knows."""

import io
import posixpath
import zipfile
from collections.abc import Mapping

from lxml import etree

from indexing.read.formats import docx_equations, docx_numbering
from indexing.read.formats.markup import Package, parse_xml

_TYPE = "/relationships/"
_WITH_TEXT = ("footnotes", "endnotes", "comments")


def main_part(package: Package) -> str:
    """The document that the package names, such as word/document2.xml."""
    named = related(package, "").get("officeDocument", [])
    return next((part for part in named if part in package.names), "word/document.xml")


def related(package: Package, part: str) -> dict[str, list[str]]:
    """Relationship type -> the parts of this package that a part refers to by it."""
    folder, name = posixpath.split(part)
    rels = posixpath.join(folder, "_rels", f"{name}.rels")
    found: dict[str, list[str]] = {}
    for rel in parse_xml(package.read(rels)) if rels in package.names else ():
        if rel.get("TargetMode") != "External":
            target = posixpath.normpath(posixpath.join("/", folder, rel.get("Target", ""))).lstrip("/")
            found.setdefault(rel.get("Type", "").rpartition(_TYPE)[2], []).append(target)
    return found


def rewritten(content: bytes, package: Package) -> bytes:
    """The same DOCX with equations and numbers as text."""
    main = main_part(package)
    parts = related(package, main)

    def of(kind: str) -> list[str]:
        return [part for part in parts.get(kind, [f"word/{kind}.xml"]) if part in package.names]

    bodies = {name: strict_xml(package.read(name)) for name in (main, *(n for kind in _WITH_TEXT for n in of(kind)))}
    numbering, styles = (next((package.xml(name) for name in of(kind)), None) for kind in ("numbering", "styles"))
    for body in bodies.values():
        docx_equations.spell(body)
    docx_numbering.number(bodies[main], numbering, styles)
    return _with_parts(content, {name: etree.tostring(body) for name, body in bodies.items()})


def strict_xml(content: bytes) -> etree._Element:
    """The root. A part that is not well-formed is refused: its end would be lost without a word."""
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True, remove_pis=True
    )
    return etree.fromstring(content, parser)


def _with_parts(content: bytes, parts: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as package, zipfile.ZipFile(out, "w") as other:
        for name in dict.fromkeys(package.namelist()):
            other.writestr(name, parts[name] if name in parts else package.read(name))
    return out.getvalue()
