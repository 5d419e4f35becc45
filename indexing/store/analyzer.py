"""Analyzes text into BM25's terms: words of any script, stemmed, without stop words and accents."""

import re
import unicodedata

import tantivy

from indexing.errors import IndexMismatchError

MAX_TERMS = 64
"""Different terms of a query that are searched."""
MAX_REPEATS = 3
"""How often a term that comes several times in a query counts at most."""
_MAX_TERM_BYTES = 200
"""A longer run of letters is no word: a SHA-512 has 128, and 60 letters of Georgian 180."""
# A term is a word, or one character of a script without spaces between words.
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_WORD = rf"[{_UNSPACED}]|[\p{{Alphabetic}}\p{{M}}\p{{N}}--[{_UNSPACED}]]+"


VERSION = "2"
"""Changes when the same text gives other terms: an index of another version is built again."""
_GREEK = re.compile("[\u0370-\u03ff\u1f00-\u1fff]+")
_ACCENTS = re.compile("[\u0300-\u036f]")


def folded(text: str) -> str:
    """NFC, without what lower case or an accent alone changes: \u0130 is i, and Greek has no accents and one sigma.

    Other accents go after stemming: stemmers know them.
    """
    if text.isascii():
        return text
    text = unicodedata.normalize("NFC", text).replace("\u0130", "i").replace("\u200b", "")
    return _GREEK.sub(lambda found: _unaccented(found[0]), text)


def _unaccented(greek: str) -> str:
    letters = _ACCENTS.sub("", unicodedata.normalize("NFD", greek))
    return unicodedata.normalize("NFC", letters).lower().replace("\u03c2", "\u03c3")


def analyzer(language: str) -> tantivy.TextAnalyzer:
    """Analyzes folded() text, without stemming and stop words for "none".

    Raises IndexMismatchError for a language without a stemmer.
    """
    filters = [tantivy.Filter.remove_long(_MAX_TERM_BYTES), tantivy.Filter.lowercase()]
    if language != "none":
        stopword, stemmer = tantivy.Filter.stopword(language), tantivy.Filter.stemmer(language)
        if not _is_known(stemmer):
            raise IndexMismatchError(
                f"index.language {language!r} has no stemmer: set it to 'english', or to 'none' for no stemming"
            )
        filters += [stopword, stemmer] if _is_known(stopword) else [stemmer]
    builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.regex(_WORD))
    for each in [*filters, tantivy.Filter.ascii_fold()]:
        builder = builder.filter(each)
    return builder.build()


def _is_known(each: tantivy.Filter) -> bool:
    """tantivy raises only when a filter is used, and the builder is unusable after that."""
    try:
        tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.raw()).filter(each)
    except ValueError:
        return False
    return True
