"""The torch generator against transformers' own generate, on a tiny model with random weights."""

import asyncio

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from services.engines.generator import Generation, Piece, Sampling  # noqa: E402
from services.engines.torch_generator import TorchGenerator  # noqa: E402
from services.errors import EngineError  # noqa: E402

PROMPTS = [[5, 6, 7], [9, 8, 7, 6, 5, 4], [30] * 12]

pytestmark = pytest.mark.anyio


class Hearing:
    def on_piece(self, generation, piece):
        generation.give(piece)

    def on_failure(self, generation, error):
        generation.fail(error)

    def on_step(self, gauges):
        assert 0 <= gauges["kv_cache_usage"] <= 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(3)
    config = transformers.LlamaConfig(
        vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=128, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    place = tmp_path_factory.mktemp("llama")
    transformers.LlamaForCausalLM(config).save_pretrained(place)
    return place


@pytest.fixture
async def engine(folder):
    engine = TorchGenerator(folder, 4096, device="cpu", dtype="float32", threads=1)
    await engine.start(Hearing())
    yield engine
    await engine.stop()


async def tokens(engine, prompt, **sampling):
    generation = Generation(prompt, Sampling(**{"max_tokens": 20, "temperature": 0.0, **sampling}))
    engine.add(generation)
    pieces: list[Piece] = [piece async for piece in generation]
    return [token for piece in pieces for token in piece.token_ids], pieces[-1].finish


async def test_greedy_is_what_transformers_generates(engine, folder):
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    for prompt in PROMPTS:
        whole = model.generate(torch.tensor([prompt]), max_new_tokens=20, do_sample=False, eos_token_id=None)
        assert await tokens(engine, prompt) == (whole[0, len(prompt) :].tolist(), "length")


async def test_concurrent_equals_sequential(engine):
    alone = [await tokens(engine, prompt) for prompt in PROMPTS]
    assert await asyncio.gather(*(tokens(engine, prompt) for prompt in PROMPTS)) == alone


async def test_a_seed_repeats_and_another_does_not(engine):
    hot = {"temperature": 1.5, "top_p": 0.95, "top_k": 40}
    first = await tokens(engine, PROMPTS[0], seed=1, **hot)
    assert await tokens(engine, PROMPTS[0], seed=1, **hot) == first
    assert await tokens(engine, PROMPTS[0], seed=2, **hot) != first


async def test_narrow_sampling_is_greedy(engine):
    greedy = await tokens(engine, PROMPTS[1])
    for narrow in ({"top_k": 1}, {"top_p": 1e-6}, {"min_p": 1.0}):
        assert await tokens(engine, PROMPTS[1], temperature=1.0, **narrow) == greedy


async def test_it_stops_at_a_stop_token_and_not_before_min_tokens(engine):
    written, _ = await tokens(engine, PROMPTS[0])
    stop = (written[0],)
    assert await tokens(engine, PROMPTS[0], stop_token_ids=stop) == (written[:1], "stop")
    later, _ = await tokens(engine, PROMPTS[0], stop_token_ids=stop, min_tokens=3)
    assert len(later) >= 3
    assert stop[0] not in later[:3]


async def test_presence_penalty_keeps_tokens_from_coming_again(engine):
    written, _ = await tokens(engine, PROMPTS[2], presence_penalty=2.0, frequency_penalty=2.0, repetition_penalty=1e6)
    assert len(set(written)) == len(written)


async def test_a_failed_prompt_fails_no_other(engine):
    bad, good = asyncio.create_task(tokens(engine, [999])), asyncio.create_task(tokens(engine, PROMPTS[0]))
    with pytest.raises(EngineError):
        await bad
    assert len((await good)[0]) == 20


async def test_a_cancelled_one_makes_room(engine):
    generation = Generation(PROMPTS[0], Sampling(max_tokens=100_000, temperature=0.0))
    engine.add(generation)
    await anext(generation)
    engine.cancel(generation)
    assert len((await tokens(engine, PROMPTS[1]))[0]) == 20
    assert not engine._running
