"""DOCX through mammoth's HTML to Markdown: headings, lists and tables kept, pictures left out."""

import io
import zipfile
import zlib
from xml.parsers.expat import ExpatError

import mammoth

from indexing.errors import UnreadableError
from indexing.read.formats.docx_equations import with_equations
from indexing.read.formats.extract import Extract, Limits, one_line, require_chars
from indexing.read.formats.html import to_markdown
from indexing.read.formats.markup import Package
from indexing.read.formats.text import title_of

_STYLES = """
p[style-name='Title'] => h1:fresh
p[style-name='Subtitle'] => p:fresh
p[style-name='Code'] => pre:separator('\\n')
p[style-name='Source Code'] => pre:separator('\\n')
p[style-name='Preformatted Text'] => pre:separator('\\n')
"""


def load(content: bytes, media_type: str, limits: Limits) -> Extract:
    del media_type
    package = Package(content, limits)
    package.check_parts("word/")
    try:
        html = _html(with_equations(content))
    except _BROKEN as exc:
        raise UnreadableError(f"broken DOCX: {one_line(str(exc)) or type(exc).__name__}") from exc
    text = to_markdown(html)
    if not text:
        raise UnreadableError("no text: it holds only pictures or nothing")
    require_chars(len(text), limits)
    return Extract(text, core_title(package) or title_of(text))


_BROKEN = (
    KeyError, ValueError, AttributeError, TypeError, IndexError, OSError, SyntaxError, zipfile.BadZipFile, zlib.error,
    ExpatError,
)  # fmt: skip
"""What mammoth and the parts below it raise where a part is missing or damaged."""


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


def core_title(package: Package) -> str:
    """dc:title of an OOXML package."""
    if "docProps/core.xml" not in package.names:
        return ""
    return one_line(package.xml("docProps/core.xml").findtext("{http://purl.org/dc/elements/1.1/}title") or "")
