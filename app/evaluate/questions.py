"""Makes questions of a collection's own documents, without a language model: cloze sentences and headings.

They repeat the documents' words, so that they are easier to find than what people ask: a first check, no more.
"""

import random
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from app.answer.segments import sentences
from app.evaluate.datasets import Case, Dataset
from app.evaluate.mutations import NAME, NUMBER
from app.evaluate.run import SEED
from indexing.document import StoredChunk
from indexing.store.interface import DocumentStore
from services.errors import BadRequestError

BLANK = "____"
MADE = 200
"""Questions of a collection, where there is no limit."""
_WORDS = range(8, 41)
"""Of a cloze sentence."""


def from_documents(store: DocumentStore, collection: str, count: int) -> Dataset:
    """Make questions of the documents, half of each kind where there are headings. Raises BadRequestError for none."""
    cases: list[Case] = []
    for chunk in passages_of(store):
        case = (len(cases) % 2 and _heading(chunk)) or _cloze(chunk) or _heading(chunk)
        if case and all(case.question != other.question for other in cases):
            cases.append(case)
        if len(cases) == count:
            break
    if not cases:
        raise BadRequestError(f"no question can be made of collection {collection!r}: it has no sentences or headings")
    return Dataset(f"{collection} (made questions)", Path(collection), tuple(cases))


def passages_of(store: DocumentStore) -> Iterator[StoredChunk]:
    """Yield a chunk of each document, in a seeded order."""
    dice = random.Random(SEED)
    ids = sorted(known.id for known in store.known_below(""))
    for document_id in dice.sample(ids, len(ids)):
        if chunks := store.document_chunks(document_id):
            yield dice.choice(chunks)


def sampled_passages(store: DocumentStore, count: int) -> list[tuple[str, str]]:
    """Heading and text of some passages."""
    return [(chunk.heading, chunk.text) for chunk in islice(passages_of(store), count)]


def _cloze(chunk: StoredChunk) -> Case | None:
    """A sentence with its rarest-looking name or number left out, which is the answer."""
    for start, end in sentences(chunk.text):
        sentence = " ".join(chunk.text[start:end].split())
        found = (*NUMBER.finditer(sentence), *NAME.finditer(sentence))
        gaps = [each for each in found if sentence.count(each[0]) == 1]
        if gaps and len(sentence.split()) in _WORDS:
            gap = max(gaps, key=lambda each: len(each[0]))
            question = f"{sentence[: gap.start()]}{BLANK}{sentence[gap.end() :]}"
            return Case(f"cloze {chunk.id}", question, (), {chunk.source: 1.0}, (gap[0],), answerable=True)
    return None


def _heading(chunk: StoredChunk) -> Case | None:
    """A question for the section that the chunk is of."""
    *_, title = chunk.heading.split(" > ")
    if title == chunk.heading or not title.strip():
        return None  # the document's title alone
    return Case(f"heading {chunk.id}", f"What is said about “{title}”?", (), {chunk.source: 1.0}, (), answerable=True)
