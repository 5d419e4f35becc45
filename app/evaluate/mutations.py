"""Makes claims of a passage's sentences: false in one place, and true in other words, to count a verifier's errors."""

import random
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from app.answer.languages import language
from app.answer.segments import sentences
from app.answer.terms import terms

Change = Callable[[random.Random, str, Sequence[str]], str | None]
"""(dice, a sentence, the passage's other sentences) -> the claim, or None where the change does not apply."""

AUXILIARY = re.compile(r"\b(is|are|was|were|has|have|had|can|could|will|would|should|may|might|must)\b(?! not)")
NUMBER = re.compile(r"(?<![\w.,\[-])(?<!\[\d, )\d+(?:[.,]\d+)*(?![\w\]-])")
NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]+(?: [A-Z][a-z]+)*")
OPPOSITES = [
    tuple(pair.split("/"))
    for pair in (
        "rose/fell increased/decreased increase/decrease above/below before/after more/less first/last higher/lower "
        "larger/smaller largest/smallest won/lost early/late north/south east/west northern/southern eastern/western "
        "most/least began/ended opened/closed over/under positive/negative always/never same/different inside/outside "
        "older/younger major/minor public/private high/low long/short strong/weak better/worse "
    ).split()
]
QUANTIFIERS = {"all": "some", "some": "all", "many": "few", "few": "many", "most": "some", "every": "no",
               "both": "neither"}  # fmt: skip
HEDGES = re.compile(r"\b(may|might|could|possibly|probably|approximately|about|nearly|almost|often|sometimes|likely) ")
EXCEPTIONS = re.compile(r",? (?<!or )(?<!instance, )(?:unless|except|only if|provided that|if) [^.;]+(?=\.)")
UNITS = {"days": "weeks", "years": "months", "weeks": "days", "months": "years", "hours": "minutes", "minutes": "hours",
         "km": "miles", "miles": "km", "metres": "feet", "meters": "feet", "percent": "points", "million": "billion",
         "billion": "million", "mg": "g", "people": "families"}  # fmt: skip
SYNONYMS = {
    "began": "started", "begin": "start", "big": "large", "large": "big", "about": "approximately", "also": "too",
    "obtained": "got", "help": "assist", "purchased": "bought", "bought": "purchased", "required": "needed",
    "needed": "required", "located": "situated", "many": "numerous", "often": "frequently", "built": "constructed",
    "constructed": "built", "showed": "demonstrated", "children": "kids", "area": "region", "quickly": "rapidly",
    "movie": "film", "film": "movie", "car": "automobile", "usually": "generally", "however": "but", "created": "made",
    "ended": "finished", "important": "significant", "main": "principal", "several": "a number of", "near": "close to",
    "because": "since", "while": "whereas", "use": "employ", "used": "employed", "study": "investigation",
}  # fmt: skip
WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
PASSIVE = re.compile(r"^([A-Z]\w+(?: [A-Z]\w+)*) (\w+ed) ((?:the |a |an )?[A-Z]\w+(?: [A-Z]\w+)*)(?= in |,|\.)")


def substituted(pattern: str, by: str, sentence: str) -> str | None:
    changed = re.sub(rf"\b{pattern}\b", by, sentence, count=1)
    return changed if changed != sentence else None


def negation(dice: random.Random, sentence: str, others: Sequence[str]) -> str | None:
    if re.search(r"\b(?:not|n't|never) ", sentence):
        return re.sub(r" not\b|n't\b| never\b", "", sentence, count=1)
    found = list(AUXILIARY.finditer(sentence))
    if not found:
        return None
    at = dice.choice(found).end()
    return f"{sentence[:at]} not{sentence[at:]}"


def opposite(dice: random.Random, sentence: str, others: Sequence[str]) -> str | None:
    pairs = [(a, b) for pair in OPPOSITES for a, b in (pair, pair[::-1]) if re.search(rf"\b{a}\b", sentence)]
    return substituted(*dice.choice(pairs), sentence) if pairs else None


def another_number(dice: random.Random, sentence: str, others: Sequence[str]) -> str | None:
    numbers = [n for other in others for n in NUMBER.findall(other) if n not in sentence]
    mine = list(NUMBER.finditer(sentence))
    return _replaced(sentence, dice.choice(mine), dice.choice(numbers)) if numbers and mine else None


def another_name(dice: random.Random, sentence: str, others: Sequence[str]) -> str | None:
    names = [n for other in others for n in NAME.findall(other) if n not in sentence]
    mine = list(NAME.finditer(sentence))
    return _replaced(sentence, dice.choice(mine), dice.choice(names)) if names and mine else None


def swapped(pattern: re.Pattern[str]) -> Change:
    def change(dice: random.Random, sentence: str, others: Sequence[str]) -> str | None:
        found = list(pattern.finditer(sentence))
        if len({f[0] for f in found}) < 2:
            return None
        first, second = sorted(dice.sample(found, 2), key=lambda f: f.start())
        between = sentence[first.end() : second.start()]
        if terms(first[0]) == terms(second[0]) or re.fullmatch(r",? (?:and|or) |, |–|-", between):
            return None  # of a list: its order says nothing
        made = sentence[: first.start()] + second[0] + between + first[0] + sentence[second.end() :]
        return made if [t.key for t in terms(made)] != [t.key for t in terms(sentence)] else None

    return change


def mapped(words: Mapping[str, str]) -> Change:
    def change(dice: random.Random, sentence: str, others: Sequence[str]) -> str | None:
        there = [word for word in words if re.search(rf"\b{word}\b", sentence)]
        word = dice.choice(there) if there else ""
        return substituted(word, words[word], sentence) if word else None

    return change


def unit(dice: random.Random, sentence: str, others: Sequence[str]) -> str | None:
    there = [u for u in UNITS if re.search(rf"\d {u}\b", sentence)]
    return substituted(there[0], UNITS[there[0]], sentence) if there else None


def dropped(pattern: re.Pattern[str]) -> Change:
    def change(dice: random.Random, sentence: str, others: Sequence[str]) -> str | None:
        changed = pattern.sub(lambda f: "" if not f[0].endswith(".") else ".", sentence, count=1)
        return changed if changed != sentence else None

    return change


def year(dice: random.Random, sentence: str, others: Sequence[str]) -> str | None:
    found = re.search(r"\b(?:1[5-9]|20)\d\d\b", sentence)
    return _replaced(sentence, found, str(int(found[0]) + dice.choice((-10, -1, 1, 3)))) if found else None


def added(dice: random.Random, sentence: str, others: Sequence[str]) -> str | None:
    more = ("after a secret meeting with aliens", "according to his lawyer", "for the second time", "without success")
    return f"{sentence.rstrip('.')} {dice.choice(more)}."


def copy(dice: random.Random, sentence: str, others: Sequence[str]) -> str | None:
    return sentence


def number_form(dice: random.Random, sentence: str, others: Sequence[str]) -> str | None:
    if re.search(r"\d%", sentence):
        return re.sub(r"(?<=\d)%", " percent", sentence)
    if re.search(r"\d percent", sentence):
        return re.sub(r"(?<=\d) percent", "%", sentence)
    if re.search(r"\b\d{1,3},\d{3}\b", sentence):
        return re.sub(r"(?<=\d),(?=\d{3}\b)", "", sentence)
    if found := re.search(r"(?<![\w.,$£€-])[1-9]\d?(?= [a-z]{3,})(?! (?:percent|million))", sentence):
        return _replaced(sentence, found, spelled(int(found[0])))
    if found := re.search(rf"(?<=[a-z] )(?:{'|'.join(WORDS[2:])})(?= [a-z])", sentence):
        return _replaced(sentence, found, str(WORDS.index(found[0])))
    return None


def spelled(number: int) -> str:
    if number < len(WORDS):
        return WORDS[number]
    tens, ones = divmod(number, 10)
    return TENS[tens - 2] + (f"-{WORDS[ones]}" if ones else "")


def date_form(dice: random.Random, sentence: str, others: Sequence[str]) -> str | None:
    changed = re.sub(r"\b([A-Z][a-z]{2,8}) (\d{1,2}), ((?:1|2)\d{3})\b", r"\2 \1 \3", sentence)
    changed = (
        changed
        if changed != sentence
        else re.sub(r"\b(\d{1,2}) ([A-Z][a-z]{2,8}) ([12]\d{3})\b", r"\2 \1, \3", sentence)
    )
    return changed if changed != sentence else None


def reordered(dice: random.Random, sentence: str, others: Sequence[str]) -> str | None:
    if found := re.match(r"((?:In|On|During|After|Before|By|At|Since) [^,]{3,40}), ([^,;:]+)\.$", sentence):
        head, rest = found.groups()
        first = rest if re.match(r"[A-Z]\w+ (?:[A-Z]|\w+ed\b)", rest) else rest[0].upper() + rest[1:]
        return f"{first} {head[0].lower()}{head[1:]}."
    if found := re.fullmatch(r"([A-Z][^,;:]{15,}?) ((?:in|on|during|since) (?:[A-Z]\w+ )?\d{4})\.", sentence):
        rest, tail = found.groups()
        opens_lower = rest.split()[0] in {"The", "A", "It", "He", "She", "They"}
        return f"{tail[0].upper()}{tail[1:]}, {rest[0].lower() if opens_lower else rest[0]}{rest[1:]}."
    return None


def passive(dice: random.Random, sentence: str, others: Sequence[str]) -> str | None:
    found = PASSIVE.match(sentence)
    if not found or found[1].split()[0].lower() in {*language("en").function, *language("en").marks}:
        return None  # "We sequenced", "In acquired", "All Recognized": no name does it
    agent, verb, object_ = found.groups()
    return f"{object_[0].upper()}{object_[1:]} was {verb} by {agent}{sentence[found.end() :]}"


def shortened(dice: random.Random, sentence: str, others: Sequence[str]) -> str | None:
    """Without what stands between commas or brackets, which only adds."""
    changed = re.sub(
        r"(?: \((?!except|if|or |but )[^()]*\)(?!\w)|, (?:who|which|whose|where) [^,]*,)", "", sentence, count=1
    )
    return changed if changed != sentence and len(changed.split()) > 4 else None


FALSE: dict[str, Change] = {
    "negation": negation,
    "opposite": opposite,
    "another number": another_number,
    "another year": year,
    "another name": another_name,
    "swapped names": swapped(NAME),
    "swapped numbers": swapped(NUMBER),
    "another unit": unit,
    "quantifier": mapped(QUANTIFIERS),
    "without its hedge": dropped(HEDGES),
    "without its condition": dropped(EXCEPTIONS),
    "something added": added,
}
TRUE: dict[str, Change] = {
    "copy": copy,
    "number form": number_form,
    "date form": date_form,
    "reordered": reordered,
    "synonym": mapped(SYNONYMS),
    "passive": passive,
    "shortened": shortened,
}


@dataclass(frozen=True, slots=True)
class Claim:
    kind: str
    text: str
    sentence: str
    heading: str
    passage: str


def claims(passages: Iterable[tuple[str, str]], dice: random.Random) -> Iterator[Claim]:
    """Yield claims made of (heading, text) passages: of each kind one a passage, where it has a sentence for it."""
    for heading, text in passages:
        parts = [text[start:end] for start, end in sentences(text)]
        told = [part for part in parts if 6 <= len(part.split()) <= 50 and part[0].isupper() and part.endswith(".")]
        if not told:
            continue
        for kind, change in {**FALSE, **TRUE}.items():
            for sentence in dice.sample(told, len(told)):
                made = change(dice, sentence, [part for part in parts if part != sentence])
                if made is not None and (made != sentence or change is copy):
                    yield Claim(kind, made, sentence, heading, text)
                    break


def _replaced(sentence: str, found: re.Match[str], by: str) -> str:
    return sentence[: found.start()] + by + sentence[found.end() :]
