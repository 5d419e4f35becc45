"""Joins the lines of a PDF that were broken to fit a width; lists, tables, headings and addresses keep theirs."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import pairwise
from operator import and_
from statistics import median

from indexing.document import one_line
from indexing.markdown import escaped
from indexing.read.formats.pdf_lines import Line

_BLOCK_SPACING = 2.3
"""Distance of two lines of a block at most, in multiples of their size."""
_PARAGRAPH_SPACING = 1.25
"""The same in multiples of the block's usual distance; with more, another paragraph begins."""
_FULL_SHARE = 0.6
"""Share of a narrow block's lines that reach its edge; with fewer, they are an address, a poem or code."""
_NARROW_LINES = 4
_SHORT = 40
"""Characters; a line of fewer says nothing about the width that it was broken to."""
_USUAL_SHARE = 0.85
"""Of the document's usual width, which lines of a shorter block must reach."""
_LONG_WORD = 20
_INDENT = 0.8
_PROSE = 0.2
"""Share of a block's lines that begin in lower case, or in a script without it; with fewer, its lines are rows."""
_SLACK = 0.06
"""Share of a block's width that a full line may lack within a sentence."""
_LOWER_SLACK = 0.25
"""The same before a word in lower case."""
_ITEM = re.compile(r"(?:[•·●▪■◦‣➢✓\uf0b7\uf0a7*\u2013\u2014-]|o|\(?(?:\d{1,3}|[a-z]|[ivx]{1,5})[.)]|[A-Z]\)|\(\w\))\s")
_REFERENCE = re.compile(r"\[[\w+]{1,12}\] ")
_LEADERS = ("....", ". . . . ", "____")
_STOPS = tuple(".!?:;。\uff01\uff1f…؟\u06d4।")
_CLOSING = "\"'”\u2019»)]」』"
_UNSPACED = re.compile("[\u0e00-\u0eff\u1780-\u17ff\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffef]")
_WORD = re.compile(r"[^\W\d_]+(?:[-\u2010][^\W\d_]+)*")
_COMPOUND = frozenset(
    """
    all anti best co cross double ex free full half high ill large light long low mid multi near non post pre quasi
    real self semi short single so state sub three two up user well
    """.split()  # noqa: SIM905 (easier to read)
)


@dataclass(frozen=True, slots=True)
class Layout:
    """What all of the document's lines say about each."""

    width: float
    """The usual width of a line of text in points."""
    words: AbstractSet[str]
    """The words of the document; empty where no line ends within a word."""


def layout_of(pages: Sequence[Sequence[Line]]) -> Layout:
    lines = [line for page in pages for line in page if line.size and not line.row]
    widths: Counter[float] = Counter()
    for line in lines:
        widths[round(line.right - line.left)] += len(line.text)
    words: set[str] = set()
    if any(_divides(line) for line in lines):
        tokens: set[str] = set()
        for before, line in pairwise([Line("", 0.0), *lines]):
            found = line.text.split()
            tokens.update(found[_divides(before) : len(found) - _divides(line)])
        words.update(_WORD.findall(" ".join(tokens).casefold()))
    return Layout(_weighted_median(widths), words)


def _divides(line: Line) -> bool:
    return line.hyphen or line.text.endswith("-")


def _weighted_median(weights: Counter[float]) -> float:
    passed = 0
    for value, weight in sorted(weights.items()):
        passed += weight
        if 2 * passed >= weights.total():
            return value
    return 0.0


def text_of(page: Iterable[Line], layout: Layout) -> str:
    """The text of a page: a line a paragraph, blank lines around those that were joined and around headings."""
    parts: list[tuple[str, bool]] = []
    for block in _blocks(page):
        if block[0].level:
            parts.append((f"{'#' * block[0].level} {one_line(block[0].text)}", True))
        else:
            parts += _paragraphs(block, layout)
    out: list[str] = []
    for i, (text, apart) in enumerate(parts):
        if i and (apart or parts[i - 1][1]) and not (_ITEM.match(text) and _ITEM.match(parts[i - 1][0])):
            out.append("")
        out.append(text)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(out).strip("\n"))


def joined(pages: Iterable[str], layout: Layout) -> tuple[str, tuple[int, ...]]:
    """The text of all pages, and where each starts. A sentence goes on over a page's end; a word stays on its first."""
    parts: list[str] = []
    starts: list[int] = []
    length = 0
    for page in pages:
        gap, rest = "\n\n" if starts else "", page
        if page[:1].islower() and parts and _is_open(last := parts[-1].rpartition("\n")[2]):
            gap = " "
            if last.endswith("-") and last[-2:-1].isalnum():
                kept = 0 if _keeps_hyphen(last[:-1], page, layout.words) else 1
                word, gap, rest = page.partition(" ")
                length += len(word) - kept
                parts[-1] = parts[-1][: len(parts[-1]) - kept] + word
        starts.append(length + len(gap))
        parts += [gap, rest]
        length += len(gap) + len(rest)
    return "".join(parts), tuple(starts)


def _is_open(text: str) -> bool:
    """Whether a sentence does not end with a line of prose."""
    return len(text) >= _SHORT and not (text.startswith("#") or _ITEM.match(text) or _is_led(text) or _ends(text))


def _blocks(page: Iterable[Line]) -> list[list[Line]]:
    """Lines of one size that stand below one another, or end within a word; a heading is a block of its own."""
    blocks: list[list[Line]] = []
    before = None
    for line in page:
        if before and (before.hyphen or (not (before.level or line.level) and _adjoin(before, line))):
            blocks[-1].append(line)
        else:
            blocks.append([line])
        before = line
    return blocks


def _adjoin(one: Line, other: Line) -> bool:
    small, size = (one.size, other.size) if one.size < other.size else (other.size, one.size)
    if not 0.4 * size <= one.bottom - other.bottom <= _BLOCK_SPACING * size:
        return False
    return other.left <= one.right and one.left <= other.right and 4 * small >= 3 * size > 0


def _paragraphs(block: Sequence[Line], layout: Layout) -> list[tuple[str, bool]]:
    """(text, whether it was joined from several lines)."""
    pairs = list(pairwise(block))
    spacing = median([d for one, other in pairs if (d := one.bottom - other.bottom) > one.size / 2] or [0.0])
    found = [(escaped(block[0].text), False)]
    hanging = False
    for (line, following), full in zip(pairs, _full(block, pairs, layout), strict=True):
        near = line.bottom - following.bottom <= _PARAGRAPH_SPACING * spacing
        hanging = line.hyphen or (full and near and _goes_on(line, following, hanging=hanging))
        if hanging:
            found[-1] = _joined(found[-1][0], line, following, layout.words), True
        else:
            found.append((escaped(following.text), False))
    return found


def _full(block: Sequence[Line], pairs: Sequence[tuple[Line, Line]], layout: Layout) -> list[bool]:
    """Of each line but the last, whether it was broken to fit a width: the next line's first word had no room."""
    left, right = min([line.left for line in block]), max([line.right for line in block])
    usual = left + _USUAL_SHARE * layout.width
    whole = [not one.hyphen for one, _ in pairs]
    begun = len([1 for one, other in pairs if not one.hyphen and _begins_low(other.text)])
    many = len(block) >= _NARROW_LINES
    short = many or right < usual or max([len(line.text) for line in block]) < _SHORT
    if short and begun < max(_PROSE * sum(whole), 1):
        return [False] * len(pairs)
    full = [_is_full(one, other, left, right) for one, other in pairs]
    if many and sum(map(and_, full, whole)) >= _FULL_SHARE * sum(whole):
        return full
    return [_is_full(one, other, left, usual) for one, other in pairs] if right < usual else full


def _begins_low(text: str) -> bool:
    return not text[:1].isupper() and text[:1].isalpha()


def _is_full(line: Line, following: Line, left: float, right: float) -> bool:
    text = following.text
    word = 1 if _is_unspaced(text[:1]) else min(len(text.split(" ", 1)[0]), _LONG_WORD)
    reach = line.right + (word + 1) * (following.right - following.left) / max(len(text), 1)
    slack = _LOWER_SLACK if text[:1].islower() else _SLACK
    return reach >= right or (reach + slack * (right - left) >= right and not _ends(line.text))


def _goes_on(line: Line, following: Line, *, hanging: bool) -> bool:
    """Whether the line after a full one is of its paragraph. `hanging`: the full one is not the paragraph's first."""
    one, other = line.text, following.text
    if line.row or following.row or _ITEM.match(other) or _is_row(one, other) or _is_led(one) or _is_led(other):
        return False
    if _REFERENCE.match(other) and (one[-1:].isdigit() or _ends(one)):
        return False
    shift = (following.left - line.left) / max(line.size, 1.0)
    anew = (shift > _INDENT and not _ITEM.match(one)) or (shift < -_INDENT and hanging)
    return not (anew and _ends(one))


def _joined(text: str, line: Line, following: Line, words: AbstractSet[str]) -> str:
    """The paragraph's text with its next line."""
    if line.hyphen:
        return text + ("-" if _keeps_hyphen(line.text, following.text, words) else "") + following.text
    if text.endswith("-") and text[-2:-1].isalnum():
        return (text if _keeps_hyphen(text[:-1], following.text, words) else text[:-1]) + following.text
    if text.endswith(("\u2010", "/")) and following.text[:1].isalnum():
        return text + following.text
    if _is_unspaced(text[-1:]) and _is_unspaced(following.text[:1]):
        return text + following.text
    return f"{text} {following.text}"


def _is_row(one: str, other: str) -> bool:
    """Whether two lines begin alike: with numbers, or with one word in upper case."""
    if other[:1].isupper():
        return one[:1] == other[:1] and one.startswith(f"{other.split(' ', 1)[0]} ")
    return one[:1].isdigit() and other[:1].isdigit()


def _is_led(text: str) -> bool:
    """Whether dots or a rule lead to its end, as in a table of contents or a form."""
    return any(map(text.__contains__, _LEADERS))


def _ends(text: str) -> bool:
    """Whether a sentence ends with it."""
    return text.rstrip(_CLOSING).endswith(_STOPS)


def _is_unspaced(char: str) -> bool:
    """Whether it is of a script that writes words without spaces."""
    return char >= "\u0e00" and _UNSPACED.match(char) is not None


def _keeps_hyphen(before: str, after: str, words: AbstractSet[str]) -> bool:
    """Whether a word that is divided at a line's end is written with a hyphen within a line, too."""
    first = re.split(r"[\s(\[\"'“\u2018/]", before)[-1].casefold()
    found = re.match(r"[^\W\d_]+", after)
    if not found or not after[0].islower() or not first.isalpha() or after[found.end() :].startswith("-"):
        return True
    second = found[0].casefold()
    if first + second in words:
        return False
    return f"{first}-{second}" in words or first in _COMPOUND or (first in words and second in words)
