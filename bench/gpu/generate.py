"""Generation of 16 streams: our service against transformers' plain generate, one after another and as one batch."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import torch
import transformers

from bench.gpu.card import seconds
from bench.gpu.checkpoints import GENERATOR, make, texts
from bench.gpu.report import Row
from bench.gpu.run import Run

STREAMS, PROMPT, NEW = 16, 540, 64
ASKED_TIMES = 3


def generate_rows(run: Run) -> Iterator[Row]:
    folder = make(GENERATOR, run.folder, run.device.type, small=run.small)
    streams, prompt, new = (4, 40, 16) if run.small else (STREAMS, PROMPT, NEW)
    tokens = streams * new
    ours = tokens / _ours(run, folder, streams, prompt, new)
    yield Row(f"{GENERATOR.name}: {streams} streams, {prompt} in, {new} out", ours, "tokens/s", at="over HTTP")
    alone, together = (tokens / took for took in _plain(run, folder, streams, prompt, new))
    how = f"it makes {alone:,.0f} tokens/s"
    yield Row(f"{GENERATOR.name}: times generate, one after another", ours / alone, "times", ASKED_TIMES, at=how)
    how = f"it makes {together:,.0f} tokens/s, all prompts known and of one length"
    yield Row(f"{GENERATOR.name}: times generate, one batch", ours / together, "times", at=how)


def _ours(run: Run, folder: Path, streams: int, prompt: int, new: int) -> float:
    with run.served(folder, "generate") as client, ThreadPoolExecutor(streams) as pool:

        def all_of(seed: int) -> None:
            prompts = texts(folder, seed, [prompt] * streams)
            list(pool.map(lambda text: _complete(client, folder, text, new), prompts))

        all_of(1)
        all_of(2)  # twice, since each shape of a step is captured when it comes first
        return seconds(lambda: all_of(3), run.device)


def _complete(client: httpx2.Client, folder: Path, prompt: str, new: int) -> None:
    body = {"model": folder.name, "prompt": prompt, "max_tokens": new, "temperature": 0, "ignore_eos": True}
    answer = client.post("/v1/completions", json=body)
    answer.raise_for_status()
    assert answer.json()["usage"]["completion_tokens"] == new


def _plain(run: Run, folder: Path, streams: int, prompt: int, new: int) -> tuple[float, float]:
    """Seconds of all prompts one after another, and of all in one batch."""
    dtype = torch.bfloat16 if run.device.type == "cuda" else torch.float32
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).to(run.device).eval()
    prompts = torch.randint(5, 8000, (streams, prompt), device=run.device)
    how = {"max_new_tokens": new, "min_new_tokens": new, "do_sample": False, "pad_token_id": 1}

    def generate(batch: torch.Tensor) -> None:
        assert model.generate(batch, attention_mask=torch.ones_like(batch), **how).shape[1] == prompt + new

    generate(prompts[:1])
    alone = seconds(lambda: [generate(each[None]) for each in prompts], run.device)
    return alone, seconds(lambda: generate(prompts), run.device)
