"""Opens a generator: chooses its engine, and says how much it may take."""

import os
from importlib.util import find_spec

from services.cores import cores
from services.engines.generator.interface import CPU_STEP_TOKENS, Capacity, Generator
from services.engines.generator.process import GeneratorProcess
from services.errors import BadRequestError
from services.generate.folder import GeneratorFolder
from services.settings import GeneratorSettings, check_device, warn_unread

SEQUENCES = 32
"""Sequences decoded at once on a CPU; each more adds a third to a step's time."""
GPU_SEQUENCES = 64
"""Each has a row of logits as wide as the vocabulary, in float32."""
KV_SPARE_TOKENS = 64
"""A sequence of the whole context must fit: openvino-genai gives up all that runs beside one that does not."""
LIBRARIES = {"openvino": ("openvino_genai", "cpu"), "torch": ("transformers", "gpu")}
"""By engine, and the extra that brings it."""


def open_engine(settings: GeneratorSettings, read: GeneratorFolder, max_model_len: int) -> Generator:
    """Not started yet. Raises BadRequestError for weights that the engine does not read."""
    engine = _choice(settings, read)
    library, extra = LIBRARIES[engine]
    if find_spec(library) is None:
        raise BadRequestError(f"engine {engine!r} is not installed: pip install 'ragline[{extra}]'.")
    if engine == "openvino":
        check_device(settings, engine)
        if settings.max_batch_tokens > CPU_STEP_TOKENS:
            warn_unread(settings, "max_batch_tokens", why=f"a step reads {CPU_STEP_TOKENS} prompt tokens at most")
        warn_unread(settings, "dtype", why="the weights are served as the file has them")
    sequences = SEQUENCES if engine == "openvino" or settings.device == "cpu" else GPU_SEQUENCES
    options = {
        "model": str(read.weights),
        "device": settings.device,
        "dtype": settings.dtype,
        "threads": settings.threads or (cores() if cores() < (os.cpu_count() or 1) else 0),
        "sequences": sequences,
        "kv_cache_gb": settings.kv_cache_gb,
        "kv_elements": read.kv_elements,
        "longest": max_model_len + KV_SPARE_TOKENS,
        "max_batch_tokens": settings.max_batch_tokens,
    }
    return GeneratorProcess(f"services.engines.generator.{engine}", options, Capacity(sequences, 0))


def _choice(settings: GeneratorSettings, read: GeneratorFolder) -> str:
    engine = settings.engine
    if engine == "auto" and settings.preset is not None:
        engine = settings.preset.engine
    if engine == "auto":
        engine = "openvino" if read.is_openvino else "torch"
    if engine not in LIBRARIES:
        raise BadRequestError(f"engine {engine!r} does not generate; take openvino or torch.")
    if engine == "openvino" and not read.is_openvino:
        raise BadRequestError(f"{read.weights} is no .gguf file and has no openvino_model.xml; take engine = torch.")
    if engine == "torch" and read.weights.suffix == ".gguf":
        raise BadRequestError(f"{read.weights} is a GGUF file; take engine = openvino, or a Transformers folder.")
    return engine
