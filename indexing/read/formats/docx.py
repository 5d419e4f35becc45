"""DOCX through mammoth's HTML to Markdown: headings, lists and tables kept, pictures left out."""

import io
import zipfile
import zlib
from xml.parsers.expat import ExpatError

import mammoth

from indexing.document import one_line
from indexing.errors import UnreadableError
from indexing.read.formats.docx_numbering import printed
from indexing.read.formats.docx_parts import rewritten
from indexing.read.formats.extract import Extract, Limits
from indexing.read.formats.html import to_markdown
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
    package = Package(content, limits)
    package.check_parts("word/")
    try:
        html = _html(rewritten(content, package))
    except _BROKEN as exc:
        raise UnreadableError(f"broken DOCX: {one_line(str(exc)) or type(exc).__name__}") from exc
    text = printed(to_markdown(html))
    return Extract(text, core_title(package) or title_of(text))


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
