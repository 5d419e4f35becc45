"""Tells how likely passages are to answer a question: a logistic model of what retrieval has found out already.

configs/answerability holds a fitted model for some cross-encoders, and for the others a rule by the scale of their
scores. docs/refusal.md has its figures, and how to fit one on documents of your own.
"""

import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from app.answer.languages import language, language_of, stem
from app.answer.terms import Term, terms
from app.settings import AppSettings
from services import CONFIGS
from services.errors import BadRequestError
from services.settings import Section

FITTED = "answerability.toml"
"""The file in the data_dir that `ragline calibrate --write` writes."""
Feature = Literal["top_logit", "gap", "name_missing"]
FEATURES: tuple[Feature, ...] = get_args(Feature)
_FIFTH = 4
_WORD = re.compile(r"[^\W_]+")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3})")


class Answerability(Section):
    """The probability is sigmoid(bias + the sum of weight * feature)."""

    reranker: str = ""
    """ORG/NAME of the cross-encoder on whose logits it was fitted; empty: a rule for all of one scale."""
    threshold: float = Field(ge=0, le=1)
    """The probability under which a question is refused."""
    floor: float
    """The logit of a passage about something else: it stands for those that a small collection lacks."""
    bias: float
    weights: Mapping[Feature, float]

    def probability(self, found: Mapping[Feature, float]) -> float:
        return sigmoid(self.bias + sum(weight * found[name] for name, weight in self.weights.items()))


def answerability_of(settings: AppSettings) -> Answerability | None:
    """Return the model that the settings name; None where they say off, or the scale of the scores is not known.

    Raises BadRequestError for a file that is not there, is no model, or was fitted for another cross-encoder.
    """
    named, served = settings.ask.answerability, reranker_of(settings)
    if named == "off":
        return None
    if named != "auto":
        model = read_answerability(Path(named))
        if model.reranker not in ("", served):
            raise BadRequestError(f"{named} was fitted for {model.reranker}, and {served} is served; fit it again")
        return model
    if (own := settings.data_dir / FITTED).is_file() and (model := read_answerability(own)).reranker == served:
        return model
    preset = settings.score.preset
    for name in (served.rpartition("/")[2], preset.score_scale if preset else None):
        if name and (path := CONFIGS / "answerability" / f"{name}.toml").is_file():
            return read_answerability(path)
    return None


def reranker_of(settings: AppSettings) -> str:
    """Return ORG/NAME of the served cross-encoder; its name on the wire where it has no preset."""
    return settings.score.preset.model if settings.score.preset else settings.score.model_name


def read_answerability(path: Path) -> Answerability:
    """Read a model's file. Raises BadRequestError."""
    try:
        return Answerability(**tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValidationError, tomllib.TOMLDecodeError) as exc:
        raise BadRequestError(f"ask.answerability: {path} is no model of answerability: {exc}") from exc


def features(question: str, logits: NDArray[np.float32], best: str, floor: float) -> dict[Feature, float]:
    """Return the FEATURES of what the cross-encoder read, of its logits (n,) and the text with the highest.

    top_logit: that; gap: from there to the fifth; name_missing: 1 where that text lacks a name or number of the
    question, else 0.
    """
    highest = np.sort(logits)[::-1]
    fifth = float(highest[_FIFTH]) if len(highest) > _FIFTH else floor
    top = float(highest[0])
    return {"top_logit": top, "gap": top - fifth, "name_missing": float(bool(missing_names(question, [best])))}


def missing_names(question: str, texts: Sequence[str]) -> tuple[str, ...]:
    """Return the names and numbers of a question that none of the texts has; () for texts of another language."""
    code = language_of(question)
    if language_of("\n".join(texts)) != code:
        return ()
    held = [_Words.of(text, code) for text in texts]
    missing = (term for term in _names(question, code) if not any(words.have(term) for words in held))
    return tuple(dict.fromkeys(term.word for term in missing))


def _names(question: str, code: str) -> list[Term]:
    """Return the terms with a capital or a digit. Numbers that are spelled out are none.

    Where capitals say nothing, in German and in titles, only digits count.
    """
    asked, digits = terms(question, code), _THOUSANDS.sub("", question)
    capitals_tell = code != "de" and any(term.word[0].islower() for term in asked)
    return [
        term
        for term in asked
        if term.is_key
        and (_has_number(digits, term.word) if term.is_number else capitals_tell or any(map(str.isdigit, term.word)))
    ]


def _has_number(text: str, number: str) -> bool:
    return bool(re.search(rf"(?<![\d.]){re.escape(number)}(?!\d)", text))


@dataclass(frozen=True, slots=True)
class _Words:
    """A text's words, read less carefully than terms() does, and thirty times faster."""

    lower: str
    stems: frozenset[str]

    @classmethod
    def of(cls, text: str, code: str) -> "_Words":
        lower = _THOUSANDS.sub("", text.lower())
        stemmer = language(code).stemmer
        return cls(lower, frozenset(stem(word, stemmer) for word in _WORD.findall(lower)))

    def have(self, term: Term) -> bool:
        """Return True for a term's stem, a synonym's, or its letters anywhere; for a date, its year or else its day."""
        if term.key[0] == "#":
            return _has_number(self.lower, term.word)
        if term.key[0] == "@":
            year, *rest = term.key[1:].split("-")
            return (year or rest[-1].lstrip("0")) in self.stems
        return bool(term.all_forms & self.stems) or term.word.lower() in self.lower


def sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit)) if logit >= 0 else math.exp(logit) / (1 + math.exp(logit))
