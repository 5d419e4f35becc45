"""Joins passages that are adjacent in a document, before a prompt quotes them."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

from app.answer.passages import Passage
from app.documents.library import Library


async def join(library: Library, collection: str, passages: Sequence[Passage], max_chars: int) -> list[Passage]:
    """Join each run of adjacent passages into one of at most `max_chars`, and number the result from 1.

    A joined passage has the text from the first's start to the last's end, and the scores of its best.
    """
    store = await library.store(collection)
    found: list[Passage] = []
    for group in neighbours(passages, max_chars):
        if len(group) > 1:
            start, end = group[0].chunk.start, max(passage.chunk.end for passage in group)
            text = await library.run(store.text, group[0].chunk.document_id, start, end)
            found += [_joined(group, text)] if _is_unchanged(group, text) else group
        else:
            found += group
    best_first = sorted(found, key=lambda passage: passage.index)
    return [replace(passage, index=index) for index, passage in enumerate(best_first, start=1)]


def neighbours(passages: Sequence[Passage], max_chars: int) -> list[list[Passage]]:
    """Group passages into runs of consecutive chunks, each in its document's order."""
    groups: list[list[Passage]] = []
    ordered = sorted(passages, key=lambda passage: (passage.chunk.document_id, passage.chunk.ordinal))
    for _, document in groupby(ordered, key=lambda passage: passage.chunk.document_id):
        run: list[Passage] = []
        for passage in document:
            if run and not _follows(run, passage, max_chars):
                groups.append(run)
                run = []
            run.append(passage)
        groups.append(run)
    return groups


def _follows(run: Sequence[Passage], passage: Passage, max_chars: int) -> bool:
    first, last, chunk = run[0].chunk, run[-1].chunk, passage.chunk
    return chunk.ordinal - last.ordinal == 1 and chunk.end - first.start <= max_chars


def _joined(group: Sequence[Passage], text: str) -> Passage:
    first, best = group[0].chunk, min(group, key=lambda passage: passage.index)
    place = replace(first, id=best.chunk.id, text=text, end=first.start + len(text))
    return replace(best, chunk=place)


def _is_unchanged(group: Sequence[Passage], text: str) -> bool:
    """Return False where the document was replaced since it was searched."""
    start = group[0].chunk.start
    return all(text[p.chunk.start - start : p.chunk.end - start] == p.chunk.text for p in group)
