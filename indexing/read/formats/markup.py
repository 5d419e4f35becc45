"""XML and archives of XML, opened without network access, entity expansion, or parts beyond the limits."""

import io
import posixpath
import zipfile
import zlib
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass

from lxml import etree

from indexing.document import one_line
from indexing.errors import UnreadableError
from indexing.read.formats.extract import Limits


def xml_parser(*, recover: bool) -> etree.XMLParser:
    """A parser that expands no entities and fetches nothing; with `recover` it skips what is not well-formed."""
    return etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, recover=recover,
        remove_comments=True, remove_pis=True,
    )  # fmt: skip


def parse_xml(content: bytes) -> etree._Element:
    """The root. Entities are not expanded, nothing is fetched, and libxml2's limits on depth and size apply."""
    try:
        root = etree.fromstring(content, xml_parser(recover=True))
    except (etree.XMLSyntaxError, ValueError) as exc:
        raise UnreadableError(f"broken XML: {exc}") from exc
    if root is None:
        raise UnreadableError("broken XML: it has no element")
    return root


def local_name(element: etree._Element) -> str:
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def own_rows(table: etree._Element, names: Container[str]) -> Iterator[etree._Element]:
    """The elements with these local names, without those of tables in its cells."""
    for child in table:
        if local_name(child) in names:
            yield child
        else:
            yield from own_rows(child, names)


def flat_text(element: etree._Element) -> str:
    """All text below it, on one line."""
    return one_line("".join(map(str, element.itertext())))


_DAMAGED = (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError, RuntimeError, zlib.error)
"""Raised for a part that cannot be unpacked."""


@dataclass(frozen=True, slots=True)
class Relationship:
    """A part of an OOXML package to which another refers."""

    id: str
    kind: str
    """The last word of its type, such as "header"."""
    target: str
    """The name of the part, which need not be there."""


class Package:
    """A zip archive of markup parts: OOXML, ODF, EPUB. Parts are read into memory, nothing is written to disk."""

    def __init__(self, content: bytes, limits: Limits) -> None:
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(content))
        except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as exc:
            raise UnreadableError(f"broken file: its zip archive cannot be opened ({exc})") from exc
        self._limits = limits
        self.names = frozenset(self._zip.namelist())
        unpacked = sum(member.file_size for member in self._zip.infolist())
        allowed = max(limits.max_bytes, 10 * limits.max_part_bytes)
        if unpacked > allowed:
            raise UnreadableError(f"too large: unpacks to {unpacked:,} bytes, more than the limit of {allowed:,}")

    def read(self, name: str) -> bytes:
        """One part. Raises UnreadableError where it is missing, encrypted, damaged or too large."""
        try:
            member = self._zip.getinfo(name)
        except KeyError as exc:
            raise UnreadableError(f"broken file: it lacks its part {name}") from exc
        if member.flag_bits & 0x1:
            raise UnreadableError("protected by a password")
        if member.file_size > self._limits.max_part_bytes:
            limit = self._limits.max_part_bytes
            raise UnreadableError(f"too large: its part {name} has {member.file_size:,} bytes, the limit is {limit:,}")
        try:
            return self._zip.read(member)
        except _DAMAGED as exc:
            raise UnreadableError(f"broken file: its part {name} is damaged ({exc})") from exc

    def xml(self, name: str) -> etree._Element:
        return parse_xml(self.read(name))

    def relationships(self, part: str) -> list[Relationship]:
        """What a part refers to within this OOXML package; "" is the package itself."""
        folder, name = posixpath.split(part)
        rels = posixpath.join(folder, "_rels", f"{name}.rels")
        return [
            Relationship(
                rel.get("Id", ""),
                rel.get("Type", "").rpartition("/relationships/")[2],
                posixpath.normpath(posixpath.join("/", folder, rel.get("Target", ""))).lstrip("/"),
            )
            for rel in (self.xml(rels) if rels in self.names else ())
            if rel.get("TargetMode") != "External"
        ]

    def with_parts(self, parts: Mapping[str, bytes]) -> bytes:
        """The archive with other contents of these parts; without parts that are damaged, which few readers need."""
        copy = io.BytesIO()
        with zipfile.ZipFile(copy, "w") as other:
            for name in dict.fromkeys(self._zip.namelist()):
                try:
                    other.writestr(name, parts[name] if name in parts else self._zip.read(name))
                except _DAMAGED:
                    continue
        return copy.getvalue()

    def check_parts(self, prefix: str) -> None:
        """Refuse XML parts beyond the limit, before a library without limits opens them."""
        for member in self._zip.infolist():
            markup = member.filename.startswith(prefix) and member.filename.endswith((".xml", ".rels"))
            if markup and member.file_size > self._limits.max_part_bytes:
                self.read(member.filename)


def core_title(package: Package) -> str:
    """dc:title of an OOXML package."""
    if "docProps/core.xml" not in package.names:
        return ""
    return one_line(package.xml("docProps/core.xml").findtext("{http://purl.org/dc/elements/1.1/}title") or "")
