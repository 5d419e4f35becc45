"""A collection, opened for writing with what the settings and the embed service say of it."""

import asyncio

from indexing.settings import IndexingSettings
from indexing.store import Manifest, Store, collection_path
from services.client import EmbedClient

CHUNKER = "semantic-text-splitter"


async def open_for_writing(settings: IndexingSettings, embed: EmbedClient, collection: str) -> Store:
    """The collection's store, made where there is none.

    Raises IndexMismatchError where it was built with another model or otherwise, UnavailableError where the embed
    service does not answer.
    """
    dimension = (await embed.embed(["dimension"], input_type="document")).shape[1]
    manifest = Manifest(
        embedding_model=embed.endpoint.model_name,
        dimension=dimension,
        query_prefix=embed.prefix("query"),
        document_prefix=embed.prefix("document"),
        chunk_tokens=settings.index.chunk_tokens,
        chunk_overlap=settings.index.chunk_overlap,
        chunker=CHUNKER,
        vectors=settings.index.vectors,
        language=settings.index.language,
    )
    return await asyncio.to_thread(Store.create_or_open, collection_path(settings.data_dir, collection), manifest)
