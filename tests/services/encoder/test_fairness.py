"""A large request leaves room for a small one: at the tokenizer, in memory, and while its answer is written."""

import asyncio
import json
import tracemalloc
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from threading import Event
from types import SimpleNamespace

import numpy as np
import pytest

from services.encoder.encoder_model import EncoderModel
from services.encoder.encodings import json_response
from services.encoder.open import open_model
from services.encoder.tokenizer import SLICE_CHARS, Tokenizer, Truncation, slices
from services.engines.encoder.interface import Tokens
from services.errors import BadRequestError, TooLargeError
from services.score.score_template import ScoreTemplate
from services.settings import EncoderSettings

pytestmark = pytest.mark.anyio


@pytest.fixture
async def model(embed_folder: Path) -> AsyncIterator[EncoderModel]:
    settings = EncoderSettings(model="bge-small-en-v1.5-int8", max_queue_tokens=20_000)
    model = open_model(settings, embed_folder, kind="embed")
    await model.batcher.start()
    yield model
    await model.batcher.stop()


def request() -> SimpleNamespace:
    return SimpleNamespace(state=SimpleNamespace(timings={}))


@pytest.mark.parametrize(
    ("lengths", "parts"),
    [
        ([], [[]]),
        ([1, 2, 3], [[1, 2, 3]]),
        ([SLICE_CHARS, 1, 1], [[SLICE_CHARS], [1, 1]]),
        ([1, 10 * SLICE_CHARS, 1], [[1], [10 * SLICE_CHARS], [1]]),
        ([SLICE_CHARS // 2] * 5, [[SLICE_CHARS // 2]] * 5),
        ([SLICE_CHARS // 4] * 6, [[SLICE_CHARS // 4] * 3] * 2),
        ([0] * (SLICE_CHARS + 10), [[0] * (SLICE_CHARS + 1), [0] * 9]),
    ],
)
def test_slices_hold_every_item_once(lengths: list[int], parts: list[list[int]]) -> None:
    assert [lengths[part] for part in slices(lengths)] == parts


async def test_requests_take_turns_at_the_tokenizer(model: EncoderModel) -> None:
    taken: list[str] = []
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()

    def until_small() -> Iterator[Sequence[Tokens]]:
        while "small" not in taken and len(taken) < 500:
            yield slice_of("large")

    def slice_of(name: str) -> Sequence[Tokens]:
        taken.append(name)
        loop.call_soon_threadsafe(begun.set)
        return model.tokenizer.encode(["word " * 500], Truncation(limit=16))

    large = asyncio.create_task(model.read(request(), until_small()))
    await begun.wait()
    small = await model.read(request(), (slice_of("small") for _ in range(1)))
    assert small.tokens == 16
    assert taken.index("small") < 50, "the small one waits for a slice or two, not for all 500"
    assert len((await large).rows) == taken.count("large")


async def test_slices_are_read_as_the_whole_is(model: EncoderModel) -> None:
    texts = [f"the {i}th word " * (i % 7 + 1) * 400 for i in range(40)]
    cut = Truncation(limit=32)
    sliced = [model.tokenizer.encode(texts[part], cut) for part in slices(map(len, texts))]
    assert 1 < len(sliced) < 40
    whole = model.tokenizer.encode(texts, cut)
    for tokens, expected in zip(chain(*sliced), whole, strict=True):
        np.testing.assert_array_equal(tokens.ids, expected.ids)


async def test_a_request_of_too_many_tokens_ends_at_the_limit(model: EncoderModel) -> None:
    taken = 0

    def endless() -> Iterator[Sequence[Tokens]]:
        nonlocal taken
        while True:
            taken += 1
            yield model.tokenizer.encode(["word " * 600], Truncation(limit=500))

    with pytest.raises(TooLargeError, match="max_queue_tokens = 20000"):
        await model.read(request(), endless())
    assert taken == 41


@pytest.mark.parametrize("cut", [Truncation(), Truncation(limit=512), Truncation(limit=512, per_document=100)])
def test_a_long_query_is_not_multiplied_by_its_documents(embed_folder: Path, cut: Truncation) -> None:
    """104 kB of a body were 96 MiB of prompts before the first was found too long."""
    tokenizer = Tokenizer.load(embed_folder, max_model_len=512)
    template = ScoreTemplate("Q {{ messages[0].content }} D {{ messages[1].content }}")
    tracemalloc.start()
    with pytest.raises(BadRequestError, match="maximum context length"):
        list(template.encode(tokenizer, ["word " * 20_000], ["d"] * 1000, cut, {}))
    assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    tracemalloc.stop()


async def test_the_loop_runs_while_a_large_answer_is_written() -> None:
    rows = np.random.default_rng(0).normal(size=(1000, 384)).astype(np.float32)
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    ticker = asyncio.create_task(tick())
    response = await json_response({"rows": {"float": map(np.ndarray.tolist, rows)}, "n": 1}, values=rows.size)
    ticker.cancel()
    assert ticks > 20
    read = json.loads(response.body)
    assert read["n"] == 1
    np.testing.assert_array_equal(np.array(read["rows"]["float"], dtype=np.float32), rows)


@pytest.mark.parametrize(
    ("server", "path", "body"),
    [
        ("embed_server", "/v1/embeddings", {"input": ["word " * 20_000] * 4}),
        ("score_server", "/v1/score", {"queries": "word", "documents": ["word " * 20_000] * 4}),
    ],
)
def test_health_answers_while_a_large_request_is_read(
    server: str, path: str, body: dict[str, object], request: pytest.FixtureRequest
) -> None:
    served = request.getfixturevalue(server)
    sent, answered = Event(), Event()
    answers: list[int] = []

    def content() -> Iterator[bytes]:
        # cut so short that the answers come while it is read, not while the engine runs
        yield json.dumps({**body, "truncate_prompt_tokens": 8}).encode()
        sent.set()

    def ask() -> None:
        headers = {"Content-Type": "application/json"}
        with served.client() as client, client.stream("POST", path, content=content(), headers=headers) as response:
            answers.append(response.status_code)
            answered.set()

    with served.client() as client, ThreadPoolExecutor(1) as threads:
        asking = threads.submit(ask)
        sent.wait(60)
        while not (answered.is_set() or asking.done()):
            answers.append(client.get("/health").status_code)
        asking.result()
    assert set(answers) == {200}
    assert len(answers) > 20
