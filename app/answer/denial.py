"""Tells where a language model says that the passages do not hold the answer, before its reader sees it."""

import re

TOKEN = "NOT_IN_DOCUMENTS"  # noqa: S105 - no secret
"""What configs/prompts/answer.toml asks for in place of an answer."""
_OPENS, _CLOSES = r"(?<!\w)[\[(<`*\"']*", r"(?!\w)[\])>`*\"'.]*"
_TOKEN = re.compile(rf"{_OPENS}(?:(?i:not\\?_in\\?_documents)|NOT ?IN ?DOCUMENTS){_CLOSES}")
"""Also as models write it: NOT IN DOCUMENTS, **NOT\\_IN\\_DOCUMENTS**."""
_LETTERS = [r"\\?[_ ]?" if letter == "_" else letter for letter in TOKEN]
_BEGUN = re.compile(rf"{_OPENS}(?:{'(?:'.join(_LETTERS)}{')?' * (len(TOKEN) - 1)}{_CLOSES})?$", re.IGNORECASE)
"""The end of a text that may go on as the token; "" where it may not."""
_CUT_OFF = len("NOTIN")
_MAX_CHARS = 300
_WORD = re.compile(r"[\w']+")
_MORE = re.compile(r"[.!?:]['\")\]]*\s+\S|\n|\b(?:but|however|although|though|only|except)\b", re.IGNORECASE)
_NONE = re.compile(r"\bno (?:information|mention|answer)\b")
_NOT = frozenset(("not", "no", "none", "nothing", "cannot", "don't", "doesn't", "can't", "isn't", "aren't"))
_SOURCES = frozenset((
    "documents", "document", "passages", "passage", "texts", "text", "context", "information", "sources", "source", "i",
))  # fmt: skip
_SAY = frozenset((
    "say", "says", "mention", "mentions", "mentioned", "specify", "specified", "answer", "answers", "answered", "state",
    "states", "stated", "contain", "contains", "provide", "provided", "include", "includes", "hold", "give", "address",
    "know", "find", "found", "indicate",
))  # fmt: skip
_WORDS = _NOT | _SOURCES | _SAY | frozenset((
    "i'm", "am", "sorry", "unfortunately", "but", "the", "these", "this", "that", "those", "any", "of", "in", "on",
    "from", "to", "for", "by", "about", "based", "there", "is", "are", "be", "do", "does", "did", "could", "was",
    "were", "available", "given", "enough", "question",
))  # fmt: skip


class DenialFilter:
    """Passes on what a model writes, without the token; its beginning is held back while it may be a denial.

    `denied`: the answer is the token, or one English sentence like "The passages do not say when". `denied_more`: the
    token stands behind an answer.
    """

    def __init__(self) -> None:
        self._held = ""
        self._passed = False
        self.denied = False
        self.denied_more = False

    def feed(self, text: str) -> str:
        """Return what can be read now; "" once `denied`."""
        self._held += "" if self.denied else text
        begun = _BEGUN.search(self._held)
        at = begun.start() if begun else len(self._held)
        ready, rest = self._held[:at], self._held[at:]
        if not self._passed and not ready.strip():
            self.denied |= bool(_TOKEN.match(rest))
            return ""
        if not self._passed and _read(ready)[1]:
            return ""
        self._held = rest
        return self._without_token(ready)

    def finish(self) -> str:
        """Return what was held back, unless that denies."""
        self.denied |= not self._passed and _read(self._held)[0]
        begun = _BEGUN.search(self._held)
        if begun and sum(map(str.isalpha, begun[0])) >= _CUT_OFF:  # where the answer reached its limit of length
            self._held = self._held[: begun.start()] + TOKEN
        return self._without_token(self._held)

    def _without_token(self, text: str) -> str:
        self.denied |= not self._passed and bool(_TOKEN.match(text.lstrip()))
        if self.denied:
            return ""
        text, count = _TOKEN.subn("", text)
        self._passed |= bool(text.strip())
        self.denied_more |= bool(count)
        return text


def _read(text: str) -> tuple[bool, bool]:
    """Return whether a text is one sentence that says that the passages do not say, and whether it may become one."""
    seen: set[str] = set()
    lower = text.lower().replace("’", "'")
    goes_on, end = True, 0
    for found in _WORD.finditer(lower):
        word, end = found[0], found.end()
        if word not in _WORDS and not (end == len(lower) and any(known.startswith(word) for known in _WORDS)):
            goes_on, end = False, found.start()
            break
        seen.add(word)
    says_so = bool((seen & _NOT and seen & _SOURCES and seen & _SAY) or _NONE.search(lower, 0, end))
    one = len(text) <= _MAX_CHARS and not _MORE.search(text, end)
    return says_so and one, (says_so or goes_on) and one
