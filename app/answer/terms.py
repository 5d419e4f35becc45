"""Reads a sentence into comparable terms: stems, numbers and dates as values, with what negates or weakens them."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from text_to_num import alpha2digit

from app.answer.languages import Language, language, stem

_TOKEN = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)"
    r"|(?P<number>(?<![\w.])[-−]?\d+(?:[.,]\d+)*(?:st|nd|rd|th)?(?![^\W\d_]))"
    r"|(?P<word>[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]"  # unspaced scripts
    r"|[^\W_]+(?:['’.&-](?=[^\W_])[^\W_]+)*|%)"
    r"|(?P<boundary>[;|()\[\]:,.!?—–\"“”]|--)"
)
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d{1,3}(?:\.\d{3})+(?:,\d+)?")
_SCALES = {"hundred": 1e2, "thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12, "bn": 1e9}
_SCALED = re.compile(rf"(?<![\w.,])(\d+(?:[.,]\d+)*) ?({'|'.join(_SCALES)})\b(?!\.\d)", re.IGNORECASE)
_PERCENT = re.compile(r"(\d)\s*(?:per ?cent\b|percent\b)", re.IGNORECASE)
_CURRENCY = re.compile(r"(?:US\s?)?([$€£¥])\s?(\d[\d.,]*(?: ?(?:thousand|million|billion|trillion|bn)\b)?)")
_CURRENCIES = {"$": "dollars", "€": "euros", "£": "pounds", "¥": "yen"}
_ARTICLES = frozenset(("the", "a", "an"))
_MARKER = re.compile(r"\s?\[\d{1,3}(?:\s*[,;–-]\s*\d{1,3})*\]")


@dataclass(frozen=True, slots=True)
class Term:
    """A word, number or date. `marks` are the negations, hedges, quantifiers and conditions in front of it."""

    key: str
    """The word's stem, #VALUE or @DATE."""
    word: str
    is_key: bool
    """True for a name, a number or a date: what a claim may not exchange."""
    marks: frozenset[str] = frozenset()
    lead: str = ""
    """The function word right before it."""
    joins: bool = False
    """True where a conjunction or a relative pronoun stands before it."""
    comma: int = 0
    """Counts the punctuation before it."""
    aside: bool = False
    """True inside brackets."""
    sentence: int = 0
    forms: frozenset[str] = frozenset()
    """Other keys that say the same."""

    @property
    def is_number(self) -> bool:
        return self.key[0] in "#@"

    @property
    def all_forms(self) -> frozenset[str]:
        """The key and its other forms."""
        return self.forms | {self.key}

    def parts(self) -> Iterator[str]:
        """Yield what a date says beside itself: its year, its month and year, its month and day."""
        if self.key[0] == "@":
            year, *rest = self.key[1:].split("-")
            if year:
                yield f"#{int(year)}"
            if year and len(rest) == 2:  # noqa: PLR2004
                yield f"@{year}-{rest[0]}"
            if len(rest) == 2:  # noqa: PLR2004
                yield f"@-{rest[0]}-{rest[1]}"

    def after(self, others: Sequence["Term"]) -> "Term":
        """Return this term as one of the sentence after that of `others`."""
        comma = max((term.comma for term in others), default=0) + 1
        return replace(self, sentence=self.sentence + 1, comma=self.comma + comma)


def forms_of(said: Iterable[Term]) -> set[str]:
    return {form for term in said for form in term.all_forms}


@lru_cache(maxsize=4096)
def terms(text: str, code: str = "en") -> tuple[Term, ...]:
    """Return the terms of a sentence in their order; markers like [2] are none.

    In a language without function words in configs/languages each word is a term.
    """
    lang = language(code)
    found: list[Term] = []
    none = before = _Before()
    comma = depth = 0
    first = True
    for kind, word in (*_tokens(text, lang, code), ("boundary", ".")):
        lower = word.lower()
        if kind == "boundary":
            if before.weak:  # "was not planned": nothing follows that it could weaken
                marks = before.marks - {lang.marks[before.weak]}
                found.append(replace(_term("word", before.weak, lang, first=True), marks=marks, lead=before.lead))
            comma += 1
            depth = max(depth + (word in "([") - (word in ")]"), 0)
            first = word in '.!?"“”|'
            before = replace(before, weak="") if word in ',"“”' else none
            continue
        mark = lang.marks.get(lower)
        if mark and not (word[0].isupper() and not first):
            marks = before.marks ^ {mark} if mark == "not" else before.marks | {mark}
            before = replace(before, marks=marks, lead=lower, weak=lower if mark.startswith("hedge") else "")
        elif lower in lang.function:
            lead = before.lead if lower in _ARTICLES and before.lead else lower
            before = replace(before, lead=lead, joins=before.joins or lower in lang.joins)
        else:
            term = _term(kind, word, lang, first=first)
            marks = (
                before.marks | {lang.number_marks[before.lead]}
                if term.is_number and before.lead in lang.number_marks
                else before.marks
            )
            found.append(replace(term, marks=marks, lead=before.lead, joins=before.joins, comma=comma, aside=depth > 0))
            before = none
        first = False
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Before:
    """What stands before the next term."""

    marks: frozenset[str] = frozenset()
    lead: str = ""
    joins: bool = False
    weak: str = ""
    """The hedge right before it."""


def _term(kind: str, word: str, lang: Language, *, first: bool) -> Term:
    """`first`: the word begins a sentence, so that a capital makes no name."""
    if kind != "word":
        return Term(f"{'#' if kind == 'number' else '@'}{word}", word, is_key=True)
    key = stem(word, lang.stemmer)
    is_name = word[0].isupper() and (not first or (len(word) > 1 and word.isupper()))
    return Term(key, word, is_name or any(map(str.isdigit, word)), forms=lang.synonyms.get(key, frozenset()))


def _tokens(text: str, lang: Language, code: str) -> Iterator[tuple[str, str]]:
    """Yield (kind, word): numbers as their values, spelled or not; day, month and year as one date."""
    text = unicodedata.normalize("NFKC", _MARKER.sub("", text)).replace("’", "'")
    for phrase, word in lang.phrases.items():
        text = re.sub(rf"\b{phrase}\b", word, text, flags=re.IGNORECASE)
    text = re.sub(r"(\w)n't\b", r"\1 not", text)
    text = re.sub(r"\bcannot\b", "can not", text)
    text = re.sub(r"'s\b|s'(?=\s)", lambda f: "" if f[0] == "'s" else "s", text)
    text = _CURRENCY.sub(lambda f: f"{f[2]} {_CURRENCIES[f[1]]}", text)
    text = _SCALED.sub(_scaled, text)
    if lang.spelled_numbers:
        text = alpha2digit(text, code, 0)
    text = _PERCENT.sub(r"\1 %", text)
    raw = [(found.lastgroup or "", found[0]) for found in _TOKEN.finditer(text)]
    at = 0
    while at < len(raw):
        kind, word = raw[at]
        date, used = _date(raw, at, lang)
        if date:
            yield "date", date
            at += used
            continue
        if kind == "number":
            yield "number", _value(word)
        elif kind == "word" and "-" in word:
            for part in word.split("-"):
                yield ("number", _value(part)) if part.isdigit() else ("word", part)
        else:
            yield kind, word
        at += 1


def _date(raw: Sequence[tuple[str, str]], at: int, lang: Language) -> tuple[str, int]:
    """Return the date that begins here, as 2020-03-04, 2020-03 or -03-04, or "", and how many tokens it takes."""
    words = [word.lower() for _, word in raw[at : at + 5] if word != ","]
    words += [""] * (4 - len(words))
    used = 0
    day = month = year = ""
    if raw[at][0] == "date":
        return raw[at][1], 1
    if (number := lang.months.get(words[0])) and raw[at][1][0].isupper():
        month, day = f"{number:02}", _day(words[1])
        used = 2 if day else 1
    elif (day := _day(words[0])) and (number := lang.months.get(words[2 if words[1] == "of" else 1])):
        month, used = f"{number:02}", 3 if words[1] == "of" else 2
    if used and re.fullmatch(r"[12]\d{3}", words[used]):
        year, used = words[used], used + 1
    if not used or not (day or year):
        return "", 0
    taken = 0
    for _, word in raw[at:]:
        if used == 0:
            break
        used -= word != ","
        taken += 1
    return "-".join((year, month, *([day] if day else []))), taken


def _day(word: str) -> str:
    found = re.fullmatch(r"(\d{1,2})(?:st|nd|rd|th)?", word)
    return f"{int(found[1]):02}" if found and 1 <= int(found[1]) <= 31 else ""  # noqa: PLR2004


def _scaled(found: re.Match[str]) -> str:
    """1.2 million is 1200000."""
    try:
        return f"{float(_value(found[1])) * _SCALES[found[2].lower()]:.12g}"
    except ValueError:  # 1.2.3 million
        return found[0]


def _value(word: str) -> str:
    """1,200 and 1200 are one number; 1st stays an ordinal."""
    word = word.replace("−", "-")
    digits = re.sub(r"(?:st|nd|rd|th)$", "", word)
    ordinal = word[len(digits) :] and "th"
    if _THOUSANDS.fullmatch(digits):
        comma = "," in digits and (digits.rfind(",") < digits.rfind(".") or "." not in digits)
        digits = digits.replace(",", "") if comma else digits.replace(".", "").replace(",", ".")
    else:
        digits = digits.replace(",", ".")
    try:
        return f"{float(digits):.12g}{ordinal}"
    except ValueError:  # 1.2.3
        return word
