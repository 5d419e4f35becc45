"""POST /v1/embeddings, passed on to the embed service: the vectors of the index, for those who want them."""

from typing import Any

from fastapi import APIRouter

from app.http.orchestrator import Here
from services.protocol import Wire

router = APIRouter(prefix="/v1", tags=["openai"])


class EmbeddingsBody(Wire):
    """What else is sent goes on as it is."""

    input: Any


@router.post("/embeddings")
async def embeddings(body: EmbeddingsBody, here: Here) -> dict[str, Any]:
    """Embed texts with the one model there is, whatever `model` says; its prefixes are the caller's."""
    return await here.pipeline.embedder.forward(body.model_dump(exclude_unset=True))
