"""Weights in a folder to a running service: what the generate service is made of."""

import hashlib
from pathlib import Path

from services import __version__
from services.engines.generator import Generator
from services.errors import BadRequestError
from services.generate.chat import chat_router
from services.generate.completions import completions_router
from services.generate.counts import Counts
from services.generate.folder import GeneratorFolder, read_folder
from services.generate.model import Model
from services.generate.queue import GenerationQueue
from services.generate.tokens import tokens_router
from services.metrics import Metrics
from services.server import Service
from services.settings import ServiceSettings

MAX_BATCH_TOKENS = 2048
"""Prompt tokens of one step; others wait for their next token meanwhile."""
KV_ELEMENT_BYTES = 2
KV_SPARE_TOKENS = 64
"""A sequence of the whole context must fit: the engine gives up all that runs beside one that does not."""


def generate_service(settings: ServiceSettings, folder: Path) -> Service:
    """The generate service over the weights in `folder` (a .gguf file, or a folder). Raises BadRequestError."""
    read = read_folder(folder)
    metrics = Metrics(settings.model_name)
    max_model_len = _max_model_len(settings, read)
    engine = _engine(settings, read, max_model_len)
    queue = GenerationQueue(engine, max_queue_tokens=settings.max_queue_tokens, counts=Counts(metrics))
    fingerprint = f"ragline-{__version__}-{hashlib.sha256(str(settings.model).encode()).hexdigest()[:8]}"
    model = Model(settings.model_name, read, max_model_len, engine, queue, settings, fingerprint)
    return Service(
        title="ragline generate",
        model_name=settings.model_name,
        root=str(folder),
        max_model_len=max_model_len,
        backend=queue,
        routers=[chat_router(model), completions_router(model), tokens_router(model)],
        metrics=metrics,
    )


def _max_model_len(settings: ServiceSettings, read: GeneratorFolder) -> int:
    wanted = settings.max_model_len or (settings.preset.max_model_len if settings.preset else read.max_model_len)
    if wanted > read.max_model_len:
        raise BadRequestError(f"max_model_len = {wanted} is over what the model was made for, {read.max_model_len}.")
    return wanted


def _engine(settings: ServiceSettings, read: GeneratorFolder, max_model_len: int) -> Generator:
    """Only the engine in use is imported."""
    room = int(settings.kv_cache_gb * 2**30 / (read.kv_elements * KV_ELEMENT_BYTES))
    kv_tokens = max(room, max_model_len + KV_SPARE_TOKENS)
    if _wants_torch(settings, read.weights):
        from services.engines.torch_generator import TorchGenerator  # noqa: PLC0415

        return TorchGenerator(
            read.weights, kv_tokens, device=settings.device, dtype=settings.dtype, threads=settings.threads
        )
    from services.engines.openvino import OpenVinoGenerator  # noqa: PLC0415

    return OpenVinoGenerator(
        read.weights,
        kv_tokens,
        min(settings.max_batch_tokens, MAX_BATCH_TOKENS),
        threads=settings.threads,
    )


def _wants_torch(settings: ServiceSettings, weights: Path) -> bool:
    """As the settings say; else torch for a folder of safetensors, which OpenVINO does not read."""
    if settings.engine in ("auto", "openvino", "torch"):
        safetensors = weights.is_dir() and not (weights / "openvino_model.xml").is_file()
        return settings.engine == "torch" or (settings.engine == "auto" and safetensors)
    raise BadRequestError(f"engine = {settings.engine} does not generate; take openvino or torch.")
