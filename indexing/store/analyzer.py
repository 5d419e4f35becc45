"""Analyzes text into BM25's terms: words of any script, stemmed, without stop words and accents."""

import tantivy

from indexing.errors import IndexMismatchError

MAX_TERMS = 64
"""Different terms of a query that are searched."""
MAX_REPEATS = 3
"""How often a term that comes several times in a query counts at most."""
_MAX_TERM_BYTES = 64
# A term is a word, or one character of a script without spaces between words.
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_WORD = rf"[{_UNSPACED}]|[\p{{Alphabetic}}\p{{M}}\p{{N}}--[{_UNSPACED}]]+"


def analyzer(language: str) -> tantivy.TextAnalyzer:
    """Without stemming and stop words for "none". Raises IndexMismatchError for a language without a stemmer."""
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
