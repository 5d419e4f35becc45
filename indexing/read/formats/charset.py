"""Bytes to text: by a label as the web reads it, else by what the bytes look like.

The Encoding Standard has the labels: https://encoding.spec.whatwg.org/#names-and-labels.
"""

import codecs
import io
import re
from collections import Counter
from collections.abc import Callable
from typing import BinaryIO

import chardet
from chardet.registry import lookup_encoding

from indexing.errors import NotADocumentError

_WEB = {
    "ascii": "cp1252", "iso8859-1": "cp1252", "iso8859-9": "cp1254", "iso8859-11": "cp874", "tis-620": "cp874",
    "gb2312": "gb18030", "gbk": "gb18030", "hz": "hz", "big5": "big5hkscs", "cp950": "big5hkscs", "euc_kr": "cp949",
    "shift_jis": "cp932", "shift_jisx0213": "cp932", "shift_jis_2004": "cp932", "koi8-r": "koi8-u",
    "utf-16": "utf-16-le", "utf-32": "utf-32-le",
    **dict.fromkeys(
        ("iso2022_jp", "iso2022_jp_1", "iso2022_jp_2", "iso2022_jp_2004", "iso2022_jp_3", "iso2022_jp_ext"),
        "iso2022_jp",
    ),
}  # fmt: skip
"""Python's codec: the codec that the web uses for its labels, mostly a superset with the vendor's characters."""
_UNKNOWN_TO_PYTHON = {
    **dict.fromkeys(("gb-2312-80", "gb-2312"), "gb18030"),
    "ks-c-5601-1989": "cp949",
    **dict.fromkeys(("sjis-win", "windows-932"), "cp932"),
    **dict.fromkeys(("cseucpkdfmtjapanese", "eucjp-ms", "eucjp-win"), "euc_jp"),
    **dict.fromkeys(("cp50220", "cp50221", "iso-2022-jp-ms"), "iso2022_jp"),
    **dict.fromkeys(("x-big5", "windows-950"), "big5hkscs"),
    "mac-ukrainian": "mac_cyrillic",
    "sun-eu-greek": "iso8859_7",
    "utf8mb4": "utf-8",
    **dict.fromkeys(("unicode", "csunicode", "iso-10646-ucs-2", "ucs-2", "unicodefeff"), "utf-16-le"),
    "unicodefffe": "utf-16-be",
}  # fmt: skip
"""Nor to chardet."""
_CODE_PAGES = {
    1200: "utf-16-le", 1201: "utf-16-be", 10000: "mac_roman", 20127: "ascii", 20866: "koi8-r", 20932: "euc-jp",
    20936: "gb2312", 21866: "koi8-u", 28591: "iso-8859-1", 38598: "iso-8859-8", 51932: "euc-jp", 51936: "gb2312",
    51949: "euc-kr", 52936: "hz", 54936: "gb18030", 65000: "utf-7", 65001: "utf-8",
    **{28590 + part: f"iso-8859-{part}" for part in range(2, 16)},
    **dict.fromkeys((50220, 50221, 50222), "iso-2022-jp"),
}  # fmt: skip
_NO_TEXT = frozenset(
    ("undefined", "idna", "punycode", "unicode_escape", "unicode-escape", "raw-unicode-escape", "mbcs", "oem")
)
_BOMS = (
    (b"\xff\xfe\0\0", "utf-32"), (b"\0\0\xfe\xff", "utf-32"),
    (b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"),
)  # fmt: skip
_NUMBERED = re.compile(r"iso-?(8859)-?(\d+)$|cp-(\d+)$|windows-?(\d+)$")
_FEW_WRONG = 0.05
"""Share of a text's characters beyond ASCII that may be undecodable by its label; with more, the label is wrong."""
_UTF8_CHARACTER = re.compile(r"[^\0-\x7f]")
_UTF8_CHARACTERS = 3
"""So many characters of well-formed UTF-8 are no accident in another encoding."""
_NOT_WESTERN = re.compile(rb"[\xc0-\xff]{4}")
"""Four accented letters in a row: words of another script under a Western label."""
_WORDS = 3
"""So many of them that differ are no accident."""
_DECLARED = re.compile(rb"(?:charset|encoding|coding)\s{0,9}[=:]", re.IGNORECASE)
_GUESSED = (
    "utf-8", "utf-16-le", "utf-16-be", "cp932", "euc-jp", "cp949", "gb18030", "big5hkscs", "cp874",
    *map("cp{}".format, range(1250, 1259)), "iso8859-2", "iso8859-5", "iso8859-7", "iso8859-15", "koi8-r", "koi8-u",
    "mac-roman", "mac-cyrillic", "cp437", "cp850", "cp852", "cp866",
)  # fmt: skip
_SYMBOLS = rb"[\x80\xa3\xa7\xa9\xae\xb0-\xb5\xb7\xbc-\xbe\xd7\xd8](?![\x80-\xff])"
_SYMBOL = re.compile(rb"(?<![A-Za-z\x80-\xff])" + _SYMBOLS + rb"|(?<=[A-Za-z])(?!.[A-Za-z])" + _SYMBOLS, re.DOTALL)
"""Of cp1252, outside words: £, §, °, ±, µ, €."""
_BEYOND_ASCII = re.compile(rb"[\x80-\xff]")
_BEFORE = 64
"""Bytes of ASCII before the first other one that are judged with it."""
_SHORT = 24
"""Bytes. Such a text is Western where it can be: statistics say nothing yet."""
_NO_SHORT_WESTERN = re.compile(rb"[\x80-\xff]{3}|[A-Za-z][\xb3\xb9\xbf][a-z]|[\x81\x8d\x8f\x90\x9d]")
"""Words of other scripts; Polish letters of cp1250, which are ³, ¹, ¿ in cp1252; what cp1252 has not."""
_SAMPLE = 256 * 2**10
"""Bytes or characters by which a text is judged."""
_CONTROLS = bytes((*range(9), *range(0x0E, 0x1B)))
"""Bytes that hardly any text has in another encoding than these."""
_PER_NUL = 1000
"""Bytes for each NUL of a text in one-byte encodings; one alone is always allowed."""
_ODD = 0.05
"""Share of control and undecodable characters; with more, the file is binary."""
_EUC = re.compile(rb"\x8e[\xa1-\xdf]|\x8f[\xa1-\xfe]{2}|([\xa1-\xfe]{2})|[\0-\x7f]+|.", re.DOTALL)
_HIGH, _LOW = (bytes(byte & 0x7F | high for byte in range(256)) for high in (0x80, 0))
_ESCAPE = re.compile(rb"\x1b(\$[@B]|\(I|\([BJ]|\$\(D)")


def codec(label: str) -> str:
    """Python's codec for what the web means by the label; "" where nobody knows it."""
    name = label.strip("\t\n\f\r \"'").lower().replace("_", "-")
    name = _NUMBERED.sub(lambda m: f"iso{m[1]}-{m[2]}" if m[1] else f"cp{m[3] or m[4]}", name)
    for known in (label.strip().lower(), name, name.removeprefix("x-"), name.removeprefix("x-").replace("-", "")):
        if known in _UNKNOWN_TO_PYTHON:
            return _UNKNOWN_TO_PYTHON[known]
        try:
            found = codecs.lookup(known)
        except (LookupError, ValueError):
            if not (other := lookup_encoding(known)):
                continue
            found = codecs.lookup(other)
        if found.name not in _NO_TEXT and found._is_text_encoding:  # noqa: SLF001 (as bytes.decode() does)
            return _WEB.get(found.name, found.name)
    return ""


def code_page(number: int) -> str:
    """The label of a Windows code page; "" where there is no codec for it."""
    label = _CODE_PAGES.get(number, f"cp{number}")
    return label if codec(label) else ""


def by_bom(content: bytes) -> str:
    """The codec that a byte order mark tells; "" without one."""
    return next((name for bom, name in _BOMS if content.startswith(bom)), "")


def decode(content: bytes, label: str = "") -> str:
    """By the BOM, as UTF-16 or UTF-32 by its zero bytes, by the label as the web reads it, as UTF-8, or by a guess.

    A label that is unknown or that the bytes contradict is passed over. Raises NotADocumentError for binary data.
    """
    wide = _wide(content[:_SAMPLE])
    for name in (wide, label):
        if (text := labelled(content, name)) is not None:
            return text
    if content.count(0) > max(1, len(content) // _PER_NUL):
        raise NotADocumentError("not indexed: binary data, not a document")
    text = labelled(content, "utf-8")
    return text if text is not None else replaced(content, _guess(content))


def _guess(content: bytes) -> str:
    """The codec by chardet, whatever the text declares; cp1252 where there is little to judge by."""
    beyond = _BEYOND_ASCII.search(content)
    start = max(beyond.start() - _BEFORE, 0) // 4 * 4 if beyond else 0
    sample = content[start : start + _SAMPLE]
    judged = _SYMBOL.sub(b" ", _DECLARED.sub(b" ", sample))
    if judged.isascii() or (len(judged) <= _SHORT and not _NO_SHORT_WESTERN.search(judged)):
        return "cp1252"
    found = chardet.detect(judged, include_encodings=_GUESSED, max_bytes=len(judged), compat_names=False)
    name = codec(found["encoding"] or "") or "cp1252"
    return "cp1252" if replaced(judged, name) == replaced(judged, "cp1252") else name


def _wide(sample: bytes) -> str:
    """UTF-16 or UTF-32 without a BOM: the one with most blanks and stops, then with most in one block; "" for none."""
    if len(sample) - len(sample.translate(None, _CONTROLS)) <= max(1, len(sample) // _PER_NUL):
        return ""
    found, most = "", (0, 0)
    for name in ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be"):
        text = sample[: 4 * _PER_NUL].decode(name, "replace")
        odd = sum(not c.isprintable() and c not in "\t\n\r" for c in text)
        blocks = Counter(ord(c) >> 8 for c in text)
        score = sum(map(text.count, " \t\n\r。，、")), max(blocks.values(), default=0) + blocks[0]  # noqa: RUF001
        if odd <= _ODD * len(text) and (score[0] or blocks[0]) and score > most:
            found, most = name, score
    return found


def is_text(text: str) -> bool:
    """Whether hardly any of its characters are controls or undecodable."""
    sample = text[:_SAMPLE]
    odd = sum(1 for c in sample if c == "\ufffd" or (c < " " and c not in "\t\n\r\f\v\x1b"))
    return odd <= _ODD * len(sample)


def labelled(content: bytes, label: str) -> str | None:
    """The text by the label, or by a BOM before it. None where the label is unknown or the bytes contradict it."""
    name = by_bom(content) or codec(label)
    if not name:
        return None
    if name in ("cp1252", "utf-8") and is_iso2022_jp(content):
        name = "iso2022_jp"
    if name == "cp1252" and len(set(_NOT_WESTERN.findall(content[:_SAMPLE]))) >= _WORDS:
        name = _guess(content)
    if not name.startswith("utf-8") and not by_bom(content) and (text := _unexpected_utf8(content, name)) is not None:
        return text
    text = replaced(content, name)
    beyond = len(_UTF8_CHARACTER.findall(text))
    return text if text.count("\ufffd") <= _FEW_WRONG * beyond else None


def _unexpected_utf8(content: bytes, name: str) -> str | None:
    """UTF-8 under another label: Western labels are often a default, and UTF-16 cannot be UTF-8 as well."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return None
    wide = name.startswith(("utf-16", "utf-32"))
    enough = 1 if name == "cp1252" else _UTF8_CHARACTERS
    found = len(_UTF8_CHARACTER.findall(text)) >= enough
    return text if (found or wide) and "\0" not in text else None


def replaced(content: bytes, name: str) -> str:
    """The text by a codec; U+FFFD for what it cannot decode."""
    if name == "iso2022_jp":
        return _iso2022_jp(content)
    if name == "euc_jp":
        return _euc_jp(content)
    return content.decode(name, "replace" if name != "gb18030" else "ragline.euro")


def _euro(error: UnicodeError) -> tuple[str, int]:
    """0x80 is the euro sign in what the web calls GBK."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    if error.object[error.start] == 0x80:  # noqa: PLR2004
        return "€", error.start + 1
    return "\ufffd", error.end


codecs.register_error("ragline.euro", _euro)


def is_iso2022_jp(content: bytes) -> bool:
    """Whether ASCII bytes switch to JIS X 0208, which only ISO-2022-JP does."""
    return b"\x1b$B" in content or b"\x1b$@" in content


def _iso2022_jp(content: bytes) -> str:
    """With half-width katakana and the characters of NEC and IBM, which mails have and Python's codec has not."""
    parts = _ESCAPE.split(content)
    euc = [parts[0]]
    for escape, part in zip(parts[1::2], parts[2::2], strict=True):
        before = {b"$@": b"", b"$B": b"", b"$(D": b"\x8f", b"(I": b"\x8e"}.get(escape)
        size = 1 if escape == b"(I" else 2
        characters = re.findall(rb"[\x21-\x7e]{%d}|[^\x21-\x7e]+|." % size, part) if before is not None else [part]
        euc += [before + c.translate(_HIGH) if before is not None and c[0] > 0x20 else c for c in characters]  # noqa: PLR2004
    return _euc_of_windows(b"".join(euc))


def _euc_jp(content: bytes) -> str:
    try:
        return content.decode("euc_jp")
    except UnicodeDecodeError:
        return _euc_of_windows(content)


def _euc_of_windows(content: bytes) -> str:
    """Pairs of JIS X 0208 by way of Shift JIS as Windows knows it."""
    return "".join(
        _shifted(*match[1].translate(_LOW)) if match[1] else match[0].decode("euc_jp", "replace")
        for match in _EUC.finditer(content)
    )


def _shifted(row: int, cell: int) -> str:
    lead = (row + 1) // 2 + (0x70 if row < 0x5F else 0xB0)  # noqa: PLR2004
    trail = cell + (0x7E if row % 2 == 0 else 0x1F + (cell >= 0x60))  # noqa: PLR2004
    return bytes((lead, trail)).decode("cp932", "replace")


def line_reader(stream: BinaryIO) -> Callable[[int], bytes]:
    """readline() of a seekable stream at its start; lines in another encoding than UTF-8 come as lines of UTF-8."""
    head = stream.read(_SAMPLE)
    stream.seek(0)
    head = head[: head.rfind(b"\n") + 1] or head
    name = by_bom(head) or _wide(head)
    if not name and labelled(head, "utf-8") is None:
        name = _guess(head)
    if not name or name.startswith("utf-8"):
        return stream.readline
    text = io.TextIOWrapper(stream, name, "replace", newline="\n")
    return lambda limit: text.readline(limit).encode("utf-8", "replace")
