"""Makes a query of the last turn of a conversation: "And when was it replaced?" names no pump, the turn before does."""

import re
from collections.abc import Sequence
from dataclasses import replace

from app.answer.languages import language, language_of, stem
from app.answer.passages import Query
from services.client import Message

MAX_WORDS = 8
"""Words of the turn before that are added to the last."""
_MARKER = re.compile(r"\[\d+\]")
_WORD = re.compile(r"[^\W_]+(?:['’.&-](?=[^\W_])[^\W_]+)*")


def in_conversation(query: Query, history: Sequence[Message]) -> Query:
    """Add the names and long words of the turn before, its question and answer; the last turn is searched beside.

    So little is lost where the last turn is about something else. Names and long words are rare: the collection's own
    frequencies choose no better (docs/log.md). A number is not added to a turn that has one: "And P-99?" is not
    about P-17.
    """
    spoken = [str(turn["content"]) for turn in history if turn["role"] in ("user", "assistant")][-2:]
    before = " ".join(_MARKER.sub("", said) for said in spoken if not _is_no_answer(said))
    lang = language(language_of(before))
    said = {stem(word, lang.stemmer) for word in _WORD.findall(query.text)}
    has_number = any(map(str.isdigit, query.text))
    words: dict[str, str] = {}
    for word in _WORD.findall(before):
        key = stem(word, lang.stemmer)
        is_told = key in said or word.lower() in lang.function or (has_number and any(map(str.isdigit, word)))
        if not is_told:
            words.setdefault(key, word)
    rarest = sorted(words.values(), key=lambda word: (word == word.lower() and word.isalpha(), -len(word)))[:MAX_WORDS]
    if not rarest:
        return query
    added = " ".join(word for word in words.values() if word in rarest)
    return replace(query, text=f"{query.text} {added}", last_turn=query.text)


def _is_no_answer(said: str) -> bool:
    """Return True for the sentence that stands where the documents did not answer."""
    return said.strip() in language(language_of(said)).answers.values()
