"""Tells a sentence about P-17 from a question about P-99: numbered names of one kind do not answer for each other."""

import re
from collections.abc import Iterable, Mapping

from app.answer.languages import language

Codes = Mapping[str, frozenset[str]]
"""What stands before the number, folded -> the numbers: {"p": {"17", "18"}}."""

_CODE = re.compile(r"(?<![\w-])([^\W\d_]+)([ -]?)(\d+(?:\.\d+)*[a-z]?)(?![\w%])")
_YEAR = re.compile(r"1\d{3}|20\d\d")
_ATTACHED_LETTERS = 4
"""Letters at most of a name in lower case, as in p17 or mp3; "after-2" is none."""
_ENGLISH = language("en")
_NO_NAMES = frozenset((
    "after", "as", "at", "before", "between", "during", "since", "until", "within", "under", "over", "above", "below",
    "around", *_ENGLISH.months, *_ENGLISH.function, *_ENGLISH.marks, *_ENGLISH.number_marks,
))  # fmt: skip


def codes_in(text: str) -> Codes:
    """Return the numbered names of a text: P-17, p17, Article 5, Windows 11."""
    return _grouped(
        found
        for found in _CODE.finditer(text)
        if found[1][0].isupper() or (found[2] != " " and len(found[1]) <= _ATTACHED_LETTERS)
    )


def codes_asked(question: str, there: Codes) -> Codes:
    """Return the numbered names of a question, of the kinds that there are: "pump 17" is one where Pump 18 is."""
    return {name: numbers for name, numbers in _grouped(_CODE.finditer(question)).items() if name in there}


def as_written(question: str, asked: Codes) -> str:
    """Return the numbered names of a question as it writes them: "P-99, P-98"."""
    return ", ".join(found[0] for found in _CODE.finditer(question) if found[1].casefold() in asked)


def is_of_another(text: str, asked: Codes) -> bool:
    """Return True where a text names others of a kind that was asked for, and none that was."""
    there = codes_in(text)
    kinds = asked.keys() & there.keys()
    return bool(kinds) and not any(asked[kind] & there[kind] for kind in kinds)


def _grouped(codes: Iterable[re.Match[str]]) -> Codes:
    found: dict[str, frozenset[str]] = {}
    for code in codes:
        name, joint, number = code[1].casefold(), code[2], code[3]
        if not _YEAR.fullmatch(number) and (joint != " " or name not in _NO_NAMES):
            found[name] = found.get(name, frozenset()) | {number}
    return found
