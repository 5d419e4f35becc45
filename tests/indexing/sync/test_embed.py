"""Batches, retries and refusals against a real server."""

import asyncio

import numpy as np
import pytest

from indexing.sync.embed import Embedder
from services.errors import EngineError, UnavailableError

pytestmark = pytest.mark.anyio


async def test_full_batches_and_vectors_in_their_order(embed_server) -> None:
    client = embed_server.client()
    texts = [f"text number {i}" for i in range(100)]
    async with Embedder(client, batch_size=32, in_flight=2) as embeds:
        vectors = np.stack(await embeds.vectors(texts))
    assert vectors.shape == (100, 32)
    assert np.allclose(vectors[7], (await client.embed(["text number 7"], input_type="document"))[0])
    assert sorted(embed_server.requests[:-1], reverse=True) == [32, 32, 32, 4]
    await client.aclose()


async def test_the_same_text_is_embedded_once(embed_server) -> None:
    client = embed_server.client()
    async with Embedder(client, batch_size=8, in_flight=2) as embeds:
        await asyncio.gather(*(embeds.vectors(["same", "same", f"other {i}"]) for i in range(5)))
    assert embed_server.texts.count("same") == 1
    assert embeds.embedded == 6
    await client.aclose()


async def test_a_refused_text_takes_no_other_with_it(embed_server) -> None:
    client = embed_server.client()
    async with Embedder(client, batch_size=16, in_flight=1) as embeds:
        good = asyncio.create_task(embeds.vectors([f"good {i}" for i in range(10)]))
        with pytest.raises(EngineError, match="this text is refused"):
            await embeds.vectors(["a poison text"])
        assert len(await good) == 10
    await client.aclose()


async def test_a_service_that_is_away_for_a_while_is_waited_for(embed_server) -> None:
    client = embed_server.client()
    embed_server.down = True
    async with Embedder(client, batch_size=4, in_flight=1) as embeds:
        waiting = asyncio.create_task(embeds.vectors(["a", "b"]))
        await asyncio.sleep(0.5)
        assert not waiting.done()
        embed_server.down = False
        assert len(await waiting) == 2
    await client.aclose()


async def test_a_service_that_stays_away_is_an_error(embed_server) -> None:
    client = embed_server.client()
    embed_server.down = True
    async with Embedder(client, batch_size=4, in_flight=1, retry_for_s=0.1) as embeds:
        with pytest.raises(UnavailableError, match="starting"):
            await embeds.vectors(["a"])
    await client.aclose()
