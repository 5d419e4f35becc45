"""From an engine's pieces to an answer."""

import asyncio
from pathlib import Path

import pytest
import tokenizers

from services.engines.generator.interface import Capacity, Generation, GeneratorListener, Piece, Sampling
from services.generate.chat_template import ChatTemplate
from services.generate.deltas import GenerationTask, TextRules, collect_choices
from services.generate.folder import GeneratorFolder
from services.generate.generation_metrics import GenerationMetrics
from services.generate.generator_model import GeneratorModel
from services.generate.queue import GenerationQueue
from services.generate.vocabulary import Vocabulary
from services.http.metrics import Metrics
from services.settings import GeneratorSettings

FEW = Sampling(max_tokens=4)
SOUND, BROKEN = 0, 1


class Echo:
    """An engine that answers a prompt with the prompt."""

    capacity = Capacity(4, 1000)
    features = frozenset()
    dead = None

    async def start(self, listener: GeneratorListener) -> None:
        self.listener = listener

    def add(self, generation: Generation) -> None:
        piece = Piece(generation.prompt, finish="stop")
        asyncio.get_running_loop().call_soon(self.listener.on_piece, generation, piece)

    def cancel(self, generation: Generation) -> None: ...

    async def stop(self) -> None: ...


@pytest.fixture
def model() -> GeneratorModel:
    """Of a byte-level vocabulary with a token that is written in no bytes."""
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": SOUND, "b c": BROKEN}))
    words.decoder = tokenizers.decoders.ByteLevel()
    metrics, engine = Metrics("m"), Echo()
    queue = GenerationQueue(engine, max_queue_tokens=100, metrics=GenerationMetrics(metrics))
    folder = GeneratorFolder(Path(), Vocabulary(words), ChatTemplate(None, {}), (), 8, 1)
    return GeneratorModel("m", folder, 8, engine, queue, GeneratorSettings(model="m"), metrics, "")


@pytest.mark.anyio
@pytest.mark.parametrize("prompts", [[[BROKEN]], [[SOUND], [BROKEN]], [[BROKEN], [SOUND], [BROKEN]]])
async def test_a_choice_that_fails_fails_the_request(model, prompts):
    await model.queue.start()
    sound = await collect_choices(model, GenerationTask("1", [[SOUND]] * 2, [FEW] * 2, TextRules(), 1))
    assert [answer.text for answer in sound] == ["a", "a"]
    async with asyncio.timeout(10):
        with pytest.raises(KeyError):
            await collect_choices(model, GenerationTask("2", prompts, [FEW] * len(prompts), TextRules(), 1))
