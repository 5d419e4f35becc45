"""Documents that resemble one another, by their stored vectors."""

from typing import Annotated

from fastapi import APIRouter, Query

from app.http.orchestrator import Here
from app.http.routes.documents import InCollection, document_out, no_document, store_of
from app.http.schema import MAX_TOP_N, Collection, DuplicateOut, DuplicatePage, SimilarOut, SimilarPage
from indexing.store.interface import DocumentRow
from indexing.store.similar import MAX_CHUNKS, Resemblance, similar

MAX_SEARCHES = 500
"""Of one page of duplicates, whatever its limit, so that it takes seconds."""
MAX_COPIES = 20

router = APIRouter(tags=["documents"])

Threshold = Annotated[float, Query(gt=0, le=1, description="Cosine from which two chunks are near-equal.")]


@router.get("/documents/{document_id:id}/similar")
async def similar_documents(
    document_id: str,
    here: Here,
    collection: InCollection = None,
    top_n: Annotated[int, Query(ge=1, le=MAX_TOP_N)] = 5,
    threshold: Threshold = 0.95,
) -> SimilarPage:
    """The documents whose chunks are nearest to this one's, best first."""
    store = await store_of(here, collection)
    found = await here.library.run(similar, store, document_id, threshold=threshold)
    if found is None:
        raise no_document(document_id)
    best = sorted(found, key=lambda each: -each.score)[:top_n]
    return SimilarPage(results=[_similar(each) for each in best])


@router.get("/collections/{name}/duplicates")
async def duplicates(
    name: Collection,
    here: Here,
    *,
    threshold: Threshold = 0.95,
    share: Annotated[float, Query(gt=0, le=1, description="Of a document's chunks that the copy has, too.")] = 0.8,
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Documents that one page compares.")] = 100,
) -> DuplicatePage:
    """The documents that another one repeats. Compares a page of the collection's documents with all of them."""
    store = await here.library.store(name)
    rows, following = await here.library.run(store.documents, cursor, limit)
    found: list[DuplicateOut] = []
    searches = compared = 0
    for row in rows:
        if searches >= MAX_SEARCHES:
            following = rows[compared - 1].id
            break
        near = await here.library.run(similar, store, row.id, threshold=threshold, only_near=True) or []
        if copies := [each for each in near if each.exact or each.share >= share]:
            found.append(_duplicate(row, copies))
        compared, searches = compared + 1, searches + min(row.chunks, MAX_CHUNKS)
    return DuplicatePage(documents=found, compared=compared, next_cursor=following)


def _duplicate(row: DocumentRow, copies: list[Resemblance]) -> DuplicateOut:
    shown = [_similar(each) for each in copies[:MAX_COPIES]]
    return DuplicateOut(document=document_out(row), copies=shown, copies_found=len(copies))


def _similar(found: Resemblance) -> SimilarOut:
    return SimilarOut(document=document_out(found.row), score=found.score, share=found.share, exact=found.exact)
