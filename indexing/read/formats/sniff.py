"""Picks the loader of a file by its first bytes, then by its name, so that a wrong extension does not matter."""

import io
import re
import zipfile
from dataclasses import dataclass
from pathlib import PurePath

import olefile

from indexing.errors import NotADocumentError, UnreadableError

HEAD = 8192
"""Bytes that are examined before the whole file is read."""


@dataclass(frozen=True, slots=True)
class Kind:
    """The loader of a format, by its module's name, and the media type of the document."""

    loader: str
    media_type: str


_OOXML = "application/vnd.openxmlformats-officedocument"
PDF = Kind("pdf", "application/pdf")
RTF = Kind("rtf", "application/rtf")
HTML = Kind("html", "text/html")
MAIL = Kind("eml", "message/rfc822")
MBOX = Kind("mbox", "application/mbox")
XML = Kind("xml", "application/xml")
JSON = Kind("json", "application/json")
JSONL = Kind("jsonl", "application/jsonl")
PLAIN = Kind("text", "text/plain")

_BY_SUFFIX: dict[str, Kind] = {
    **dict.fromkeys((".htm", ".html", ".xhtml"), HTML),
    **dict.fromkeys((".md", ".markdown", ".mdx", ".qmd", ".rmd"), Kind("text", "text/markdown")),
    **dict.fromkeys((".jsonl", ".ndjson"), JSONL),
    **dict.fromkeys((".xml", ".nxml", ".rss", ".atom"), XML),
    ".csv": Kind("csv", "text/csv"),
    ".tsv": Kind("csv", "text/tab-separated-values"),
    ".json": JSON,
    ".ipynb": Kind("json", "application/x-ipynb+json"),
    ".eml": MAIL,
    ".ics": Kind("ical", "text/calendar"),
    ".vtt": Kind("text", "text/vtt"),
    ".srt": Kind("text", "application/x-subrip"),
    ".rst": Kind("text", "text/prs.fallenstein.rst"),
    ".org": Kind("text", "text/org"),
    **dict.fromkeys((".adoc", ".asciidoc"), Kind("text", "text/asciidoc")),
}

_CODE = {
    "python": ".py .pyi", "javascript": ".js .mjs .cjs .jsx", "typescript": ".ts .tsx", "java": ".java .kt .scala",
    "c": ".c .h", "c++": ".cc .cpp .cxx .hpp .hh", "go": ".go", "rust": ".rs", "ruby": ".rb", "php": ".php",
    "csharp": ".cs", "swift": ".swift", "shell": ".sh .bash .zsh .ps1", "sql": ".sql", "lua": ".lua", "r": ".r",
    "yaml": ".yaml .yml", "toml": ".toml", "ini": ".ini .cfg .conf", "css": ".css .scss", "tex": ".tex",
    "proto": ".proto",
}  # fmt: skip
_BY_SUFFIX |= {s: Kind("text", f"text/x-{name}") for name, suffixes in _CODE.items() for s in suffixes.split()}

_REFUSED: tuple[tuple[re.Pattern[bytes], str], ...] = tuple(
    (re.compile(pattern, re.DOTALL), what)
    for pattern, what in (
        (rb"\x89PNG|\xff\xd8\xff|GIF8[79]a|BM.{4}\x00{4}|II\*\0|MM\x00\*|RIFF....WEBP|....ftyp(heic|heix|avif|mif1)|8BPS",
         "an image: its text would need OCR"),
        (rb"ID3|\xff[\xfb\xf3\xf2]|OggS|fLaC|RIFF....(WAVE|AVI )|....ftyp|\x1a\x45\xdf\xa3|MThd|FORM....AIF",
         "audio or video, not a document"),
        (rb"\x1f\x8b|BZh[1-9]|\xfd7zXZ\x00|7z\xbc\xaf\x27\x1c|Rar!\x1a\x07|\x28\xb5\x2f\xfd|.{257}ustar",
         "an archive: unpack it and index the folder"),
        (rb"\x7fELF|MZ|\xca\xfe\xba\xbe|\xcf\xfa\xed\xfe|\x00asm|SQLite format 3|wOF[F2]|\x00\x01\x00{3}",
         "a program or data file, not a document"),
    )
)  # fmt: skip

_PROGRAMS = frozenset((".exe", ".dll", ".sys", ".scr", ".com", ".ocx"))
_BINARY = re.compile(rb"[\x00-\x08]")  # so that a text about "ID3 tags" stays a text

MAIL_HEADER = re.compile(
    rb"From |(?:From|To|Subject|Date|Received|Return-Path|Delivered-To|MIME-Version|Message-ID|Content-Type|X-[\w-]+):",
    re.IGNORECASE,
)
_HTML_START = re.compile(rb"<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE)
_XML_DECLARATION = re.compile(rb"<\?xml[^>]*>")


def sniff(head: bytes, name: str) -> Kind:  # noqa: PLR0911 (a table of cases)
    """By the first HEAD bytes. Raises UnreadableError for what is no document. For zip and OLE: sniff_container()."""
    if not head:
        raise NotADocumentError("empty: it has no bytes")
    suffix = PurePath(name).suffix.lower()
    if b"%PDF-" in head[:1024]:
        return PDF
    if head.startswith(b"{\\rtf"):
        return RTF
    for pattern, what in _REFUSED:
        if pattern.match(head) and (_BINARY.search(head) or (suffix in _PROGRAMS and head.startswith(b"MZ"))):
            raise NotADocumentError(f"not indexed: {what}")
    known = _BY_SUFFIX.get(suffix)
    if known in (None, XML) and _HTML_START.match(_past_comments(head)):
        return HTML
    if known is not None:
        return known
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith(b"<?xml"):
        return XML
    if suffix in ("", ".mbox", ".mht", ".p7s") and _looks_like_mail(start):
        return MBOX if start.startswith(b"From ") else MAIL
    return PLAIN


def _past_comments(head: bytes) -> bytes:
    """The head from its first tag on, without an XML declaration and comments before it."""
    head = _XML_DECLARATION.sub(b"", head.lstrip(), count=1) if head.lstrip().startswith(b"<?xml") else head.lstrip()
    at, end = len(head) - len(head.lstrip()), 0
    while head.startswith(b"<!--", at) and (end := head.find(b"-->", at + 4)) >= 0:
        at = end + 3
        at += len(head[at:]) - len(head[at:].lstrip())
    return head[at:]


def _looks_like_mail(start: bytes) -> bool:
    return sum(bool(MAIL_HEADER.match(line)) for line in start.split(b"\n\n")[0].splitlines()[:40]) > 1


def is_container(head: bytes) -> bool:
    return head.startswith((b"PK\x03\x04", b"PK\x05\x06", olefile.MAGIC))


def sniff_container(content: bytes) -> Kind:
    """By the parts of a zip or OLE file. Raises UnreadableError for archives and password-protected files."""
    return _sniff_ole(content) if content.startswith(olefile.MAGIC) else _sniff_zip(content)


_ZIP_KINDS = (
    ("word/", Kind("docx", f"{_OOXML}.wordprocessingml.document")),
    ("ppt/", Kind("pptx", f"{_OOXML}.presentationml.presentation")),
    ("xl/", Kind("xlsx", f"{_OOXML}.spreadsheetml.sheet")),
)
_MIMETYPES = {
    "application/epub+zip": "epub",
    "application/vnd.oasis.opendocument.text": "odf",
    "application/vnd.oasis.opendocument.presentation": "odf",
    "application/vnd.oasis.opendocument.spreadsheet": "xlsx",
}


def _sniff_zip(content: bytes) -> Kind:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
            mimetype = archive.read("mimetype")[:100].decode("ascii", "replace").strip() if "mimetype" in names else ""
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError, NotImplementedError, EOFError) as exc:
        raise UnreadableError(f"broken file: its zip archive cannot be opened ({exc})") from exc
    if loader := _MIMETYPES.get(mimetype.removesuffix("-template")):
        return Kind(loader, mimetype)
    if "META-INF/container.xml" in names:
        return Kind("epub", "application/epub+zip")
    for prefix, kind in _ZIP_KINDS:
        if "[Content_Types].xml" in names and any(name.startswith(prefix) for name in names):
            return kind
    raise NotADocumentError("not indexed: an archive: unpack it and index the folder")


_OLE_KINDS = (
    ("WordDocument", Kind("doc_ppt", "application/msword")),
    ("PowerPoint Document", Kind("doc_ppt", "application/vnd.ms-powerpoint")),
    ("Workbook", Kind("xlsx", "application/vnd.ms-excel")),
    ("Book", Kind("xlsx", "application/vnd.ms-excel")),
    ("__properties_version1.0", Kind("msg", "application/vnd.ms-outlook")),
)


def _sniff_ole(content: bytes) -> Kind:
    try:
        with olefile.OleFileIO(io.BytesIO(content)) as ole:
            if ole.exists("EncryptedPackage"):
                raise UnreadableError("protected by a password")
            for stream, kind in _OLE_KINDS:
                if ole.exists(stream):
                    return kind
    except (OSError, ValueError, IndexError) as exc:
        raise UnreadableError(f"broken file: its OLE container cannot be opened ({exc})") from exc
    raise NotADocumentError("not indexed: an OLE file that is no Word, Excel, PowerPoint or Outlook document")
