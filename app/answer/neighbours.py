"""Passages that stand side by side in a document, joined back into one before a prompt quotes them."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

from app.answer.passages import Passage
from app.documents.library import Library


async def join(library: Library, collection: str, passages: Sequence[Passage], most_chars: int) -> list[Passage]:
    """As they were, but that neighbours are one: with the text between them, the place of the first, and the score of
    the best. No joined one is longer than `most_chars`. Numbered anew.
    """
    store = await library.store(collection)
    found: list[Passage] = []
    for group in neighbours(passages, most_chars):
        if len(group) > 1:
            start, end = group[0].chunk.start, max(passage.chunk.end for passage in group)
            text = await library.run(store.text, group[0].chunk.document_id, start, end)
            found += [_joined(group, text)] if _is_text_of(group, text) else group
        else:
            found += group
    best_first = sorted(found, key=lambda passage: passage.index)
    return [replace(passage, index=index) for index, passage in enumerate(best_first, start=1)]


def neighbours(passages: Sequence[Passage], most_chars: int) -> list[list[Passage]]:
    """Each run of chunks that follow each other in a document, in its order."""
    groups: list[list[Passage]] = []
    ordered = sorted(passages, key=lambda passage: (passage.chunk.document_id, passage.chunk.ordinal))
    for _, document in groupby(ordered, key=lambda passage: passage.chunk.document_id):
        run: list[Passage] = []
        for passage in document:
            if run and not _follows(run, passage, most_chars):
                groups.append(run)
                run = []
            run.append(passage)
        groups.append(run)
    return groups


def _follows(run: Sequence[Passage], passage: Passage, most_chars: int) -> bool:
    first, last, chunk = run[0].chunk, run[-1].chunk, passage.chunk
    return chunk.ordinal - last.ordinal == 1 and chunk.end - first.start <= most_chars


def _joined(group: Sequence[Passage], text: str) -> Passage:
    first, best = group[0].chunk, min(group, key=lambda passage: passage.index)
    place = replace(first, id=best.chunk.id, text=text, end=first.start + len(text))
    return replace(best, chunk=place)


def _is_text_of(group: Sequence[Passage], text: str) -> bool:
    """Not where the document was replaced since it was searched."""
    start = group[0].chunk.start
    return all(text[p.chunk.start - start : p.chunk.end - start] == p.chunk.text for p in group)
