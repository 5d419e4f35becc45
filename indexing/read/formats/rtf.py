"""RTF by striprtf, which gets each character of two bytes as two escapes, and the code page of the file."""

import re
from collections import Counter
from functools import cache

from striprtf.striprtf import charset_map, rtf_to_text

from indexing.document import one_line
from indexing.errors import UnreadableError
from indexing.markdown import escaped
from indexing.read.formats import charset, table_text
from indexing.read.formats.extract import Extract, Limits, counted, tidy
from indexing.read.formats.superscript import joined

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


_WORD = re.compile(r"\\([a-z]+)(\d*)")
_RAISED = 6
"""Half points from which a position makes a power."""
_LOOKS = "\ufdd0\ufdd1\ufdd2\ufdd3"
"""Lowered, plain, raised and hidden text begins here."""
_UNSEEN = 2
_BEGIN, _CELL, _ROW = "\ufdd4", "\ufdd5", "\ufdd6"
_NOTE = re.compile(" ?\ufdd7([^\ufdd7\ufdd8]*)\ufdd8 ?")


def _mark(character: str) -> str:
    return f"{{\\uc1\\u{ord(character)}?}}"


_POSITIONS = {at: _mark(_LOOKS[at + 1]) for at in (-1, 0, 1)}
_HIDDEN = _mark(_LOOKS[3])
_NOTE_END = _mark("\ufdd8")
_MARKS = {
    "cell": _mark(_CELL), "nestcell": " ", "row": _mark(_ROW), "nestrow": " ", "trowd": _mark(_BEGIN),
    "footnote": _mark("\ufdd7"),
}  # fmt: skip


def load(content: bytes, _media_type: str, _limits: Limits) -> Extract:
    """Tables as Markdown, powers, notes in brackets; hidden text is dropped and counted, and pictures are."""
    source, encoding = _prepared(content)
    pictures = len(re.findall(r"\\pict(?![a-z])", source)) - len(re.findall(r"\\nonshppict(?![a-z])", source))
    omitted = Counter({"picture": pictures})
    text = _looked_at(tidy(_text(_marked(source), encoding)), omitted)
    return Extract(
        tidy(_with_tables(_NOTE.sub(lambda note: f" [{one_line(note[1])}] ", text))), omitted=counted(omitted)
    )


def _marked(source: str) -> str:
    """The source with marks, which striprtf takes for characters, for what it has no words for."""
    out: list[str] = []
    position, hidden, note = 0, False, False
    outer: list[tuple[int, bool, bool]] = []
    for token in _TOKEN.finditer(source):
        text = token[0]
        before = position, hidden
        word = _WORD.fullmatch(text)
        if text == "{":
            outer.append((position, hidden, note))
            note = False
        elif text == "}" and outer:
            out.append(_NOTE_END if note else "")
            position, hidden, note = outer.pop()
        elif word:
            name, number = word[1], word[2] or "1"
            if name in ("super", "sub", "up", "dn", "nosupersub", "plain"):
                least = _RAISED if name in ("up", "dn") else 1
                position = {"super": 1, "up": 1, "sub": -1, "dn": -1}.get(name, 0) * (int(number) >= least)
            if name in ("v", "plain"):
                hidden = name == "v" and number != "0"
            note = note or name == "footnote"
            # A word that prints nothing takes the blank that ends a word.
            text = rf"{_MARKS[name]}\intbl" if name in _MARKS else text
        mark = "" if (position, hidden) == before else _HIDDEN if hidden else _POSITIONS[position]
        out += [text, mark] if text == "}" else [mark, text]
    return "".join(out)


def _looked_at(text: str, omitted: Counter[str]) -> str:
    """The text with powers, and without what is hidden."""
    first, *parts = re.split(f"([{_LOOKS}])", text)
    runs = [(part, _LOOKS.index(look) - 1) for look, part in zip(parts[::2], parts[1::2], strict=True)]
    omitted["hidden text"] += sum(at == _UNSEEN and bool(part.strip()) for part, at in runs)
    return joined([(first, 0), *(run for run in runs if run[1] != _UNSEEN)])


def _with_tables(text: str) -> str:
    """Rows of cells, which marks end, as tables; text between them begins the next."""
    blocks: list[str] = []
    rows: list[list[str]] = []
    *ended, rest = text.split(_ROW)
    for part in ended:
        above, begins, row = part.partition(_BEGIN)
        if not begins:
            above, _, row = part.rpartition("\n") if "\n" in part.partition(_CELL)[0] else ("", "", part)
        if above.strip() and rows:
            blocks.append(table_text.render(rows))
            rows = []
        blocks.append(escaped(above.strip("\n")))
        rows.append(row.replace(_BEGIN, "").split(_CELL)[:-1])
    blocks += [table_text.render(rows), escaped(re.sub(f"[{_BEGIN}{_CELL}]", " ", rest).strip("\n"))]
    return "\n\n".join(block for block in blocks if block.strip())


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
