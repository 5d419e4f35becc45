"""What a document says: its text, its chunks, and the page that shows them."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from app.answer.passages import page_at
from app.http.orchestrator import Here
from app.http.pages import PAGE, page_headers
from app.http.routes.documents import InCollection, row_of, store_of
from app.http.schema import ChunkOut, TextOut, TextPart
from services.errors import BadRequestError
from services.http import paths  # noqa: F401 - the addresses' {name:id}

MAX_TEXT_CHARS = 100_000

router = APIRouter(tags=["documents"])


@router.get("/documents/{document_id:id}/chunks")
async def chunks(document_id: str, here: Here, collection: InCollection = None) -> list[ChunkOut]:
    """List a document's chunks in the order of its text."""
    await row_of(here, collection, document_id)
    store = await store_of(here, collection)
    return [
        ChunkOut(id=c.id, ordinal=c.ordinal, text=c.text, start=c.start, end=c.end, page=c.page, heading=c.heading)
        for c in await here.library.run(store.document_chunks, document_id)
    ]


@router.get("/documents/{document_id:id}/text")
async def text(document_id: str, part: Annotated[TextPart, Query()], here: Here) -> TextOut:
    """Read a document's text as it was indexed, at most 100,000 characters of it."""
    row = await row_of(here, part.collection, document_id)
    start, end = part.start, row.chars if part.end is None else part.end
    if part.page is not None:
        if part.page > len(row.pages):
            raise BadRequestError(f"there is no page {part.page}; the document has {len(row.pages)}", param="page")
        start, end = row.pages[part.page - 1], [*row.pages, row.chars][part.page]
    start = min(start, row.chars)
    end = max(start, min(end, start + MAX_TEXT_CHARS, row.chars))
    store = await store_of(here, part.collection)
    return TextOut(
        document_id=row.id,
        title=row.title,
        url=row.source,
        text=await here.library.run(store.text, document_id, start, end),
        start=start,
        end=end,
        characters=row.chars,
        page=page_at(row.pages, start),
        pages=len(row.pages),
    )


@router.get("/documents/{document_id:id}/view", response_class=HTMLResponse, include_in_schema=False)
async def view(document_id: str, request: Request) -> HTMLResponse:
    """Serve the page that shows a document at a quote; it reads the text itself, with its user's key.

    Its files are at the root, wherever a proxy has put that: the address leads there step by step.
    """
    del document_id
    below = request.scope["raw_path"].partition(b"/documents/")[2].count(b"/")
    page = (PAGE / "view.html").read_text().replace('<base href="./">', f'<base href="{"../" * (below + 1)}">')
    return HTMLResponse(page, headers=page_headers(base="'self'"))
