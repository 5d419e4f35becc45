"""EPUB: the chapters in the order of the spine."""

import posixpath
from collections import Counter
from urllib.parse import unquote

from indexing.document import one_line
from indexing.errors import UnreadableError
from indexing.read.formats.extract import Extract, Limits, counted, require_chars
from indexing.read.formats.html import body_markdown
from indexing.read.formats.markup import Package

_DC = "{http://purl.org/dc/elements/1.1/}"


def load(content: bytes, _media_type: str, limits: Limits) -> Extract:
    package = Package(content, limits)
    opf_name = _opf(package)
    opf = package.xml(opf_name)
    encrypted = _encrypted(package)
    folder = posixpath.dirname(opf_name)
    targets = {item.get("id"): item.get("href", "") for item in opf.iter("{*}item")}
    chapters: list[str] = []
    length = 0
    omitted: Counter[str] = Counter()
    for reference in opf.iter("{*}itemref"):
        name = posixpath.normpath(posixpath.join(folder, unquote(targets.get(reference.get("idref")) or "")))
        if name in encrypted:
            raise UnreadableError("protected: its chapters are encrypted (DRM)")
        if name in package.names:
            chapters.append(body_markdown(package.read(name), omitted=omitted))
            length += len(chapters[-1])
            require_chars(length, limits)
    text = "\n\n".join(chapter for chapter in chapters if chapter)
    author = one_line(opf.findtext(f".//{_DC}creator") or "")
    title = one_line(opf.findtext(f".//{_DC}title") or "")
    return Extract(text, title, metadata={"author": author} if author else {}, omitted=counted(omitted))


def _opf(package: Package) -> str:
    rootfile = package.xml("META-INF/container.xml").find(".//{*}rootfile")
    if rootfile is None:
        raise UnreadableError("broken EPUB: its container names no package")
    return str(rootfile.get("full-path", ""))


def _encrypted(package: Package) -> frozenset[str]:
    """The parts that META-INF/encryption.xml names, from the root of the archive; often only fonts."""
    if "META-INF/encryption.xml" not in package.names:
        return frozenset()
    references = package.xml("META-INF/encryption.xml").iter("{*}CipherReference")
    return frozenset(posixpath.normpath(unquote(str(found.get("URI", "")))).lstrip("/") for found in references)
