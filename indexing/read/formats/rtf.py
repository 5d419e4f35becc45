"""RTF by striprtf, which gets each character of two bytes as two escapes, and the code page of the file."""

import re
from functools import cache

from striprtf.striprtf import charset_map, rtf_to_text

from indexing.errors import UnreadableError
from indexing.markdown import escaped
from indexing.read.formats import charset
from indexing.read.formats.extract import Extract, Limits, tidy

_CODE_PAGE = re.compile(r"\\ansicpg(\d{1,5})")
_FONT = re.compile(r"\\f(\d{1,5})\D[^;{}]{0,200}?\\fcharset(\d{1,3})")
_FONT_TABLE = 100_000
"""Characters at the start in which the fonts are looked for."""
_TOKEN = re.compile(r"\\'([0-9a-fA-F]{2})|\\f(\d{1,5})(?!\d)|\\[a-zA-Z]+-?\d*|\\[^a-zA-Z]|[{}]|[^\\{}]+")
_PLAIN = re.compile(r"[\r\n]*(?:\\(?=[\\{}]))?((?<=\\)[\\{}]|[^\\{}\r\n])")
_DOUBLE_BYTE = frozenset((932, 936, 949, 950, 1361))
_EAST_ASIAN = frozenset((128, 129, 130, 134, 136))
"""\\fcharset of the fonts in those code pages."""
_ONLY_RTF = re.compile(r"\\htmlrtf(?:(0)|1)?(?![0-9a-z]) ?")
"""Begins what stands for the HTML in programs that know only RTF; with 0, ends it."""
_HTML_TAG = re.compile(r"\{\\\*\\htmltag\d{0,5} ?")


def load(content: bytes, _media_type: str, _limits: Limits) -> Extract:
    return Extract(escaped(tidy(_text(*_prepared(content)))))


def encapsulated_html(content: bytes) -> str:
    """The HTML that Outlook keeps within RTF ([MS-OXRTFEX]); "" where there is none."""
    if b"\\fromhtml" not in content[:1024]:
        return ""
    source, encoding = _prepared(content)
    first, *parts = _ONLY_RTF.split(source)
    html = first + "".join(text for ends, text in zip(parts[::2], parts[1::2], strict=True) if ends)
    return _text(_HTML_TAG.sub("{", html), encoding)


def _text(source: str, encoding: str) -> str:
    try:
        return str(rtf_to_text(source, encoding, errors="ignore"))  # type: ignore[no-untyped-call]
    except (ValueError, IndexError, KeyError, LookupError) as exc:
        raise UnreadableError(f"broken RTF: {exc}") from exc


def _prepared(content: bytes) -> tuple[str, str]:
    """The source with bytes beyond ASCII escaped, and the codec of its code page."""
    source = re.sub(r"[\x80-\xff]", lambda match: f"\\'{ord(match[0]):02x}", content.decode("latin-1"))
    declared = _CODE_PAGE.search(source[:_FONT_TABLE])
    page = int(declared[1]) if declared else 0
    encoding = charset.codec(charset.code_page(page)) or "cp1252"
    fonts = {font: int(kind) for font, kind in _FONT.findall(source[:_FONT_TABLE])}
    if page in _DOUBLE_BYTE and not _EAST_ASIAN.intersection(fonts.values()):
        # No font is said to be East Asian: the text is in the file's code page whatever its fonts are.
        source = re.sub(r"\\fcharset\d+", r"\\fcharset1", source[:_FONT_TABLE]) + source[_FONT_TABLE:]
        fonts = {}
    if page in _DOUBLE_BYTE or _EAST_ASIAN.intersection(fonts.values()):
        source = _second_bytes(
            source, encoding, {font: charset_map.get(kind, encoding) for font, kind in fonts.items()}
        )
    return source, encoding


def _second_bytes(source: str, encoding: str, fonts: dict[str, str]) -> str:
    """The source with second bytes that are written as plain characters (the "e" of \\'83e) escaped too."""
    out: list[str] = []
    font, cut = encoding, False
    outer: list[str] = []
    for token in _TOKEN.finditer(source):
        text = token[0]
        if token[1]:
            cut = not cut and _is_lead(int(token[1], 16), font)
        elif plain := _PLAIN.match(text):
            if cut:
                text = f"\\'{ord(plain[1]):02x}{text[plain.end() :]}"
            cut = False
        elif text.strip("\r\n"):
            cut = False
            font = fonts.get(token[2], encoding) if token[2] else font
        if text == "{":
            outer.append(font)
        elif text == "}" and outer:
            font = outer.pop()
        out.append(text)
    return "".join(out)


@cache
def _is_lead(byte: int, encoding: str) -> bool:
    """Whether it is the first of two bytes."""
    try:
        bytes((byte,)).decode(encoding)
    except UnicodeDecodeError as exc:
        return exc.reason == "incomplete multibyte sequence"
    except LookupError:
        return False
    return False
