"""Reads configs/languages, and tells the language of a text by its script or its function words."""

import re
import tomllib
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import tantivy

from services import CONFIGS

_SCRIPTS = {"HIRAGANA": "ja", "KATAKANA": "ja", "CJK": "zh", "THAI": "th", "CYRILLIC": "ru", "ARABIC": "ar",
            "DEVANAGARI": "hi", "GREEK": "el", "HANGUL": "ko", "HEBREW": "he", "ARMENIAN": "hy"}  # fmt: skip
_SAMPLE = 600
"""Characters by which a language is told."""
_WORD = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True, slots=True)
class Language:
    """What configs/languages/CODE.toml says; empty for a language without a file."""

    stemmer: str
    """Snowball's name; "" without."""
    spelled_numbers: bool
    function: frozenset[str]
    letters: frozenset[str]
    """Letters that few other languages have."""
    joins: frozenset[str]
    marks: Mapping[str, str]
    """A word -> the mark that it puts on the term after it."""
    number_marks: Mapping[str, str]
    """The same, before a number only."""
    synonyms: Mapping[str, frozenset[str]]
    opposites: Mapping[str, frozenset[str]]
    months: Mapping[str, int]
    phrases: Mapping[str, str]
    """Words that are read as one."""
    leans: re.Pattern[str] | None
    """The beginning of a sentence that says nothing without the one before it; None: not known."""
    answers: Mapping[str, str]
    """The sentences that stand for an answer where there is none."""

    @property
    def negates(self) -> bool:
        """True where its negations are known, so that a claim may be worded otherwise than its quote."""
        return bool(self.marks)


def language(code: str) -> Language:
    """Return the language of an ISO code."""
    return _LANGUAGES.get(code, _UNKNOWN)


@lru_cache(maxsize=512)
def language_of(text: str) -> str:
    """Return the ISO code of a text's language; "en" where neither script nor function words tell."""
    sample = text[:_SAMPLE]
    scripts = Counter(
        script
        for char in sample
        if char.isalpha() and not char.isascii() and (script := unicodedata.name(char, "").split(" ")[0].split("-")[0])
    )
    if scripts["HIRAGANA"] + scripts["KATAKANA"]:
        return "ja"
    script, count = max(scripts.items(), key=lambda item: item[1], default=("", 0))
    if script in _SCRIPTS and 4 * count > sum(map(str.isalpha, sample)):
        return _SCRIPTS[script]
    words, letters = Counter(_WORD.findall(sample.lower())), Counter(sample)
    found = {
        code: sum(words[word] for word in lang.function) + sum(letters[letter] for letter in lang.letters)
        for code, lang in _LANGUAGES.items()
    }
    return max(found, key=lambda code: (found[code], code == "en"))


def is_latin(text: str) -> bool:
    """Return False where more than a quarter of a text's letters are of a script that tells its language."""
    return language_of(text) not in _SCRIPTS.values()


def answer_in(language_code: str, name: str) -> str:
    """Return a fixed sentence, as "not_found", in a language; in English where its file has none."""
    return language(language_code).answers.get(name) or _LANGUAGES["en"].answers[name]


@lru_cache(maxsize=65536)
def stem(word: str, stemmer: str) -> str:
    found = _stemmer(stemmer).analyze(word)
    return str(found[0]) if found else word.lower()


@cache
def _stemmer(name: str) -> tantivy.TextAnalyzer:
    builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.raw()).filter(tantivy.Filter.lowercase())
    if name:
        builder = builder.filter(tantivy.Filter.stemmer(name))
    return builder.filter(tantivy.Filter.ascii_fold()).build()


def _read(path: Path) -> Language:
    lists = tomllib.loads(path.read_text(encoding="utf-8"))
    stemmer = lists.get("stemmer", "")
    marks = dict.fromkeys(lists.get("negations", "").split(), "not")
    marks |= {word: f"hedge {n}" for n, group in enumerate(lists.get("hedges", ())) for word in group.split()}
    number_marks = dict.fromkeys(lists.get("number_hedges", "").split(), "hedge 1")
    for group in lists.get("quantifiers", ()):
        words = group.split()
        marks |= {word: f"={words[0]}" for word in words if word not in number_marks}
        number_marks |= dict.fromkeys(words, f"={words[0]}")
    marks |= {word: "if" for word in lists.get("conditions", "").split() if word not in marks}
    synonyms: dict[str, frozenset[str]] = {}
    for group in lists.get("synonyms", ()):
        stems = frozenset(stem(word, stemmer) for word in group.split())
        synonyms |= {each: synonyms.get(each, frozenset()) | stems for each in stems}
    opposites: dict[str, frozenset[str]] = {}
    for pair in lists.get("opposites", "").split():
        one, other = (
            synonyms.get(each, frozenset()) | {each} for each in (stem(word, stemmer) for word in pair.split("/"))
        )
        opposites |= {each: opposites.get(each, frozenset()) | other for each in one}
        opposites |= {each: opposites.get(each, frozenset()) | one for each in other}
    leans = [*lists.get("leaning_phrases", ()), *lists.get("leans", "").split()]
    return Language(
        stemmer,
        lists.get("spelled_numbers", False),
        frozenset(lists.get("function", "").split()),
        frozenset(lists.get("letters", "")),
        frozenset(lists.get("joins", "").split()),
        marks,
        number_marks,
        synonyms,
        opposites,
        {month: number for number, month in enumerate(lists.get("months", "").split(), start=1)},
        lists.get("phrases", {}),
        re.compile(rf"\s*(?:{'|'.join(leans)})\b", re.IGNORECASE) if leans else None,
        lists.get("answers", {}),
    )


_UNKNOWN = Language("", False, frozenset(), frozenset(), frozenset(), {}, {}, {}, {}, {}, {}, None, {})
_LANGUAGES = {path.stem: _read(path) for path in (CONFIGS / "languages").glob("*.toml")}
