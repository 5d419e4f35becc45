"""DOCX through mammoth's HTML to Markdown: headings, lists and tables kept, pictures left out."""

import io
import zipfile
import zlib
from functools import partial
from xml.parsers.expat import ExpatError

import mammoth

from indexing.document import one_line
from indexing.errors import UnreadableError
from indexing.read.formats import rtf
from indexing.read.formats.charset import decode
from indexing.read.formats.docx_numbering import printed
from indexing.read.formats.docx_parts import rewritten, with_chunks
from indexing.read.formats.extract import Extract, Limits, tidy
from indexing.read.formats.html import body_markdown, to_markdown
from indexing.read.formats.markup import Package, core_title
from indexing.read.formats.text import title_of

_STYLES = """
p[style-name='Title'] => h1:fresh
p[style-name='Subtitle'] => p:fresh
p[style-name='Code'] => pre:separator('\\n')
p[style-name='Source Code'] => pre:separator('\\n')
p[style-name='Preformatted Text'] => pre:separator('\\n')
"""


def load(content: bytes, _media_type: str, limits: Limits) -> Extract:
    return _load(content, limits, nested=False)


def _load(content: bytes, limits: Limits, *, nested: bool) -> Extract:
    package = Package(content, limits)
    package.check_parts("word/")
    try:
        new = rewritten(package, partial(_embedded, limits=limits, nested=nested))
        html = _html(new.content)
    except _BROKEN as exc:
        raise UnreadableError(f"broken DOCX: {one_line(str(exc)) or type(exc).__name__}") from exc
    text = with_chunks(printed(to_markdown(html)), new.chunks)
    return Extract(text, core_title(package) or title_of(text), omitted=new.omitted)


def _embedded(name: str, content: bytes, *, limits: Limits, nested: bool) -> str:
    """Markdown of a document that is embedded in this one. Raises UnreadableError."""
    suffix = name.rpartition(".")[2].lower()
    if suffix in ("htm", "html", "xhtml"):
        return body_markdown(content)
    if suffix == "txt":
        return tidy(decode(content))
    if suffix == "rtf":
        return rtf.load(content, "application/rtf", limits).text
    if suffix == "docx" and not nested:
        return _load(content, limits, nested=True).text
    raise UnreadableError(f"embedded document of an unknown kind: {name}")


_BROKEN = (
    KeyError, ValueError, AttributeError, TypeError, IndexError, OSError, SyntaxError, zipfile.BadZipFile, zlib.error,
    ExpatError,
)  # fmt: skip
"""Raised by mammoth and its dependencies where a part is missing or damaged."""


def _html(content: bytes) -> str:
    # external_file_access stays off: linked pictures and parts are not opened.
    return str(
        mammoth.convert_to_html(
            io.BytesIO(content), style_map=_STYLES, include_embedded_style_map=False, convert_image=_no_image
        ).value
    )


def _no_image(image: object) -> list[object]:
    del image
    return []
