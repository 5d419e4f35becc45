"""Batches, retries and refusals against a real server."""

import asyncio

import numpy as np
import pytest

from indexing.sync.embed import Embedder
from services.client import EmbedClient
from services.errors import EngineError, UnavailableError
from services.settings import EndpointSettings
from tests.indexing.conftest import DIMENSION, FAULTS

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


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_service_that_fails_on_everything_is_away_and_works_again_afterwards(embed_server, fault) -> None:
    """No future waits for ever, and the workers live on."""
    client = embed_server.client()
    async with Embedder(client, batch_size=8, in_flight=2, dimension=DIMENSION, retry_for_s=0.1) as embeds:
        embed_server.fault = fault
        async with asyncio.timeout(60):
            with pytest.raises(UnavailableError):
                await embeds.vectors([f"text {i}" for i in range(40)])
        if fault != "503":  # which the client repeats
            assert embed_server.faults <= 2 * (40 // 8), "one question a batch shows that it is the service"
        embed_server.fault = ""
        async with asyncio.timeout(60):
            assert len(await embeds.vectors(["text 1", "text 2"])) == 2
    await client.aclose()


async def test_a_service_that_hangs_is_asked_twice_and_no_more(embed_server) -> None:
    client = EmbedClient(EndpointSettings(url=embed_server.url, model="hashed", timeout_s=0.5))
    embed_server.fault = "hang"
    async with Embedder(client, batch_size=64, in_flight=1, retry_for_s=0.1) as embeds:
        async with asyncio.timeout(60):
            with pytest.raises(UnavailableError):
                await embeds.vectors([f"text {i}" for i in range(64)])
    assert embed_server.faults == 2
    await client.aclose()


async def test_a_text_that_breaks_the_service_takes_no_other_with_it(embed_server) -> None:
    client = embed_server.client()
    async with Embedder(client, batch_size=16, in_flight=1, retry_for_s=0.1) as embeds:
        good = asyncio.create_task(embeds.vectors([f"good {i}" for i in range(15)]))
        with pytest.raises(EngineError):
            await embeds.vectors(["a crash text"])
        assert len(await good) == 15
    await client.aclose()


async def test_texts_that_nobody_waits_for_any_more_are_not_embedded(embed_server) -> None:
    client = embed_server.client()
    embed_server.fault = "503"
    async with Embedder(client, batch_size=2, in_flight=1) as embeds:
        left, waiting = (asyncio.create_task(embeds.vectors(texts)) for texts in (["a", "b", "c", "d"], ["e", "d"]))
        async with asyncio.timeout(30):
            while not embed_server.faults:
                await asyncio.sleep(0.01)
        left.cancel()
        await asyncio.wait([left])
        embed_server.fault = ""
        assert len(await waiting) == 2
    assert set(embed_server.texts) == {"a", "b", "d", "e"}, "a and b were on their way"
    await client.aclose()
