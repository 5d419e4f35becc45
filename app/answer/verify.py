"""Verifies a claim against a passage: do one or two of the passage's sentences say it?

A claim is `entailed` when each of its terms stands in the quote, as often negated, hedged and quantified, in the
quote's order. A claim may leave words out, move a phrase to the other end, and turn active into passive; it may not
jump past a name or number to another of its kind. What these rules cannot see is `unsupported`, never verified; where
the quote lacks words alone, `is_open`, an entailment model may be asked (entailment.py).
bench/verification.py measures how often each kind of false claim passes, and of true claim fails:
docs/verification.md.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from app.answer.languages import language, language_of
from app.answer.segments import line_start, sentences
from app.answer.table_claims import row_fault
from app.answer.tables import is_row, rows
from app.answer.terms import Term, forms_of, terms
from app.answer.verdict import NOTHING, Fault, Outcome, Verdict

_DESCENT, _REPEAT, _OTHER_MARKS, _OTHER_LEAD, _JUMP = 4.0, 9.0, 1.5, 0.5, 1.0
"""What an alignment pays for a term that stands before its left neighbour, is used twice, ..."""
_BE = frozenset(["is", "are", "was", "were", "be", "been", "being", "get", "got", "gets"])
_MAY_BE_LEFT_OUT = frozenset({"=all", "=only"})


def verify(claim: str, passage: str, heading: str = "") -> Verdict:
    """Return the verdict of the one or two adjacent sentences of a passage that carry a claim best."""
    code = language_of(passage)
    wanted = terms(claim, code)
    best = NOTHING
    if not wanted or (len(wanted) == 1 and not wanted[0].is_key):
        return best
    context = frozenset(forms_of(terms(heading, code)))
    for start, end, quote in _quotes(passage, code):
        match = _Match.of(wanted, quote, context)
        missing = match.missing_terms(code)
        fault = missing or match.other_voice() or match.fault(code)
        if fault and not missing and match.carries_in_other_voice(code):
            fault = None
        carried: Outcome = "quoted" if _squeezed(claim) in _squeezed(passage[start:end]) else "entailed"
        is_open = missing is not None and missing[0] == "unsupported" and match.lacks_words_alone()
        verdict = Verdict(*(fault or (carried, "")), match.held, start, end, is_open)
        best = max(best, verdict, key=lambda each: each.weight)
        if best.verified and best.score == 1:
            return best
    if best.verified:
        return best
    for start, end, cells in rows(passage, heading):
        fault, held = row_fault(wanted, cells, context, code)
        best = max(best, Verdict(*(fault or ("entailed", "")), held, start, end), key=lambda each: each.weight)
    return best


def _squeezed(text: str) -> str:
    return " ".join(text.split()).strip(".!?。！？ ")


@lru_cache(maxsize=256)
def _quotes(passage: str, code: str) -> tuple[tuple[int, int, tuple[Term, ...]], ...]:
    """Return start, end and terms of each sentence, then of each adjacent pair; cached, as each claim needs them."""
    one = [(start, end, terms(passage[start:end], code)) for start, end in sentences(passage)]
    row_lines = {start for start, _, _ in rows(passage, "")}
    in_rows = {a for a, _, _ in one if is_row(passage[a : a + 1]) or line_start(passage, a) in row_lines}
    pairs = [
        (a[0], b[1], (*a[2], *(term.after(a[2]) for term in b[2])))
        for a, b in pairwise(one)
        if not in_rows & {a[0], b[0]}
    ]
    return (*one, *pairs)


@dataclass(frozen=True, slots=True)
class _Match:
    """A claim beside a quote; each check returns what is wrong, or None."""

    claim: Sequence[Term]
    quote: Sequence[Term]
    found: Sequence[int | None]
    """For each term of the claim, the place in the quote of the term that says it."""
    pairs: Sequence[tuple[Term, int]]
    """The terms of the claim that the quote holds, each with its place."""
    context: frozenset[str]
    """Keys of the heading's terms."""

    @classmethod
    def of(cls, claim: Sequence[Term], quote: Sequence[Term], context: frozenset[str]) -> "_Match":
        found = _aligned(claim, quote)
        pairs = [(term, at) for term, at in zip(claim, found, strict=True) if at is not None]
        return cls(claim, quote, found, pairs, context)

    @property
    def held(self) -> float:
        return len(self.pairs) / len(self.claim)

    def missing_terms(self, code: str) -> Fault | None:
        missing = [
            term
            for term, at in zip(self.claim, self.found, strict=True)
            if at is None and not self.context & term.all_forms
        ]
        if missing:
            lang, held = language(code), forms_of(self.quote)
            against = [term for term in missing if lang.opposites.get(term.key, frozenset()) & held]
            why = f"not there: {', '.join(term.word for term in missing)}"
            return "contradicted" if missing == against else "unsupported", why
        enough = max(min(2, len(self.claim)), len(self.claim) / 2)
        return None if len(self.pairs) >= enough else ("unsupported", "the heading says more of it than the quote")

    def lacks_words_alone(self) -> bool:
        """Return True where the quote lacks words of the claim but no name or number, and says the others alike."""
        lacks_key = any(term.is_key and at is None for term, at in zip(self.claim, self.found, strict=True))
        numbers = [at for term, at in self.pairs if term.is_number]
        if lacks_key or not self.pairs or numbers != sorted(numbers):
            return False
        return not self.marks() and not self.exchanged()

    def other_voice(self) -> Fault | None:
        for i, at in enumerate(self.found):
            if at is None or (term := self.claim[i]).is_number:
                continue
            if _is_agent(self.claim, i) != _is_agent(self.quote, at):
                return "unsupported", f"{term.word!r} in another role"
        return None

    def carries_in_other_voice(self, code: str) -> bool:
        """Return True where the quote carries the claim once both are in the active voice, and one of them was not."""
        turned = _Match.of(_active(self.claim), _active(self.quote), self.context)
        was_turned = (turned.claim, turned.quote) != (self.claim, self.quote)
        return was_turned and not (turned.missing_terms(code) or turned.fault(code))

    def fault(self, code: str) -> Fault | None:
        found = self.marks() or self.order() or self.exchanged()
        if not found and not language(code).negates and any(b != a + 1 for (_, a), (_, b) in pairwise(self.pairs)):
            return "unsupported", "not word for word, in a language whose negations are not known"
        return found

    def marks(self) -> Fault | None:
        """Compare negations, quantifiers, hedges and conditions; those of a term left out go to the next."""
        matched = {at for _, at in self.pairs}
        theirs: dict[int, frozenset[str]] = {}
        pending: frozenset[str] = frozenset()
        for at, term in enumerate(self.quote):
            if at and term.comma != self.quote[at - 1].comma:
                pending = frozenset()
            if "if" in term.marks and at not in matched:
                return "unsupported", f"leaves out the condition before {term.word!r}"
            negated = ("not" in pending) != ("not" in term.marks)
            pending = (pending | term.marks) - {"not"} | ({"not"} if negated else frozenset())
            if at in matched:
                theirs[at], pending = pending, frozenset()
        for term, at in self.pairs:
            more, less = term.marks - theirs[at], theirs[at] - term.marks
            quantities = {mark for mark in less if mark[0] == "="}
            if "not" in more | less:
                return "contradicted", f"negation before {term.word!r}"
            if any(mark[0] == "=" for mark in more) or quantities - _MAY_BE_LEFT_OUT:
                return "contradicted", f"another quantity before {term.word!r}"
            if "if" in more or any(mark.startswith("hedge") for mark in less):
                return "unsupported", f"{term.word!r} is said with less certainty"
        return None

    def order(self) -> Fault | None:
        """Compare the order: no way back but that of one phrase moved to the other end, no jump past a rival."""
        pairs, quote = self.pairs, self.quote
        descents = [i for i, ((_, a), (_, b)) in enumerate(pairwise(pairs), start=1) if b < a]
        if descents:
            first, second = pairs[: descents[0]], pairs[descents[0] :]
            term, at = min(first, second, key=len)[0]
            is_turned = len(descents) == 1 and min(at for _, at in first) > max(at for _, at in second)
            is_phrase = bool(term.lead) and term.lead == quote[at].lead
            if not is_turned or not (is_phrase or quote[at].comma != quote[at - 1].comma):
                return "unsupported", f"{second[0][0].word!r} in another place"
        for (before, a), (term, b) in pairwise(pairs):
            if quote[a].sentence < quote[b].sentence and term.comma == before.comma and not term.joins:
                return "unsupported", f"{term.word!r} is of another sentence"
            if quote[b].is_key and any(_rivals(each, quote[b]) for each in quote[a + 1 : b]):
                return "unsupported", f"{term.word!r} stands beside other words"
        return None

    def exchanged(self) -> Fault | None:
        """Compare where names and numbers are from: one of another sentence, or of the heading, replaces none."""
        given = Counter(self.quote[at].sentence for _, at in self.pairs)
        home = max(given, key=lambda sentence: given[sentence])
        matched = {at for _, at in self.pairs}
        left = [t for at, t in enumerate(self.quote) if at not in matched and t.is_key and t.sentence == home]
        for term, at in zip(self.claim, self.found, strict=True):
            is_from_elsewhere = at is None or self.quote[at].sentence != home
            if is_from_elsewhere and term.is_key and any(each.is_number == term.is_number for each in left):
                return "unsupported", f"{term.word!r} is not of this sentence"
        return None


def _aligned(claim: Sequence[Term], quote: Sequence[Term]) -> list[int | None]:
    """Return for each term of a claim the term of the quote that says it, in the order that costs least (Viterbi)."""
    places: dict[str, list[int]] = {}
    for at, term in enumerate(quote):
        for form in {*term.all_forms, *term.parts()}:
            places.setdefault(form, []).append(at)
    options = [places.get(t.key) or sorted({at for form in t.forms for at in places.get(form, ())}) for t in claim]
    known = [i for i, there in enumerate(options) if there]
    costs: dict[int, tuple[float, tuple[int, ...]]] = {-1: (0.0, ())}
    for i in known:
        best: dict[int, tuple[float, tuple[int, ...]]] = {}
        for at in options[i]:
            own = _OTHER_MARKS * (quote[at].marks != claim[i].marks) + _OTHER_LEAD * (quote[at].lead != claim[i].lead)
            best[at] = min(
                (cost + own + _step(last, at) + _REPEAT * (at in path), (*path, at))
                for last, (cost, path) in costs.items()
            )
        costs = best
    found: list[int | None] = [None] * len(claim)
    used: set[int] = set()
    for i, place in zip(known, min(costs.values())[1], strict=True):
        if place not in used:  # what stands once cannot carry two terms: "the last to walk on the last mission"
            found[i] = place
            used.add(place)
    return found


def _step(last: int, at: int) -> float:
    if last < 0 or at == last + 1:
        return 0.0
    return _JUMP if at > last else _DESCENT


def _rivals(one: Term, other: Term) -> bool:
    """Return True for two names, or two numbers, in the same role: a claim could take one for the other."""
    return (
        one.is_key
        and not one.aside
        and one.is_number == other.is_number
        and one.lead == other.lead
        and one.key != other.key
    )


def _active(sentence: Sequence[Term]) -> tuple[Term, ...]:
    """Return "object verb, where and when, by agent" as "agent verb object, where and when", to compare both voices."""
    for i, agent in enumerate(sentence):
        if agent.lead != "by" or agent.is_number or i < 2 or sentence[i - 1].comma != agent.comma:  # noqa: PLR2004
            continue
        group = _group_start(sentence, i - 1)
        verb = i - 1 if not group or sentence[group].lead in {*_BE, ""} else group - 1
        first = verb
        while first and sentence[first - 1].comma == agent.comma:
            first -= 1
        last = i + 1
        while last < len(sentence) and not sentence[last].lead and sentence[last].comma == agent.comma:
            last += 1
        turned = (*sentence[i:last], sentence[verb], *sentence[first:verb], *sentence[verb + 1 : i])
        return (*sentence[:first], *turned, *sentence[last:])
    return tuple(sentence)


def _is_agent(said: Sequence[Term], at: int) -> bool:
    return said[_group_start(said, at)].lead == "by"


def _group_start(said: Sequence[Term], at: int) -> int:
    """Return where the words begin that stand together with this one: "engineer" in "by the engineer Thomas Leask"."""
    while at and not said[at].lead and said[at - 1].comma == said[at].comma:
        at -= 1
    return at
