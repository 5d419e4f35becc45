"""Opens a generator: chooses its engine, and the size of its key-value cache."""

from services.engines.generator.interface import Capacity, Generator
from services.engines.generator.process import GeneratorProcess
from services.errors import BadRequestError
from services.generate.folder import GeneratorFolder
from services.settings import ServiceSettings

SEQUENCES = 32
"""Sequences decoded at once on a CPU; each more adds a third to a step's time."""
GPU_SEQUENCES = 64
"""transformers sorts the whole vocabulary for each sequence at each step."""
MAX_BATCH_TOKENS = 512
"""Prompt tokens of one step on a CPU, for which all others wait: 4% slower than 2048, and a fourth of the wait."""
KV_BYTES = {"openvino": 2, "torch": 4}
"""Bytes of an element of the key-value cache."""
KV_SPARE_TOKENS = 64
"""A sequence of the whole context must fit: openvino-genai gives up all that runs beside one that does not."""


def open_engine(settings: ServiceSettings, read: GeneratorFolder, max_model_len: int) -> Generator:
    """Not started yet. Raises BadRequestError for weights that the engine does not read."""
    engine = _choice(settings, read)
    module = {"openvino": "services.engines.generator.openvino", "torch": "services.engines.generator.torch"}[engine]
    kv_tokens = int(settings.kv_cache_gb * 2**30 / (read.kv_elements * KV_BYTES[engine]))
    kv_tokens = max(kv_tokens, max_model_len + KV_SPARE_TOKENS)
    on_cpu = engine == "openvino" or settings.device == "cpu"
    sequences = SEQUENCES if on_cpu else GPU_SEQUENCES
    options = {
        "model": str(read.weights),
        "device": "CPU" if engine == "openvino" else settings.device,
        "dtype": settings.dtype,
        "threads": settings.threads,
        "sequences": sequences,
        "kv_tokens": kv_tokens,
        "max_batch_tokens": min(settings.max_batch_tokens, MAX_BATCH_TOKENS),
    }
    return GeneratorProcess(module, options, Capacity(sequences, kv_tokens))


def _choice(settings: ServiceSettings, read: GeneratorFolder) -> str:
    engine = settings.engine
    if engine == "auto" and settings.preset is not None:
        engine = settings.preset.engine
    if engine == "auto":
        engine = "openvino" if read.is_openvino else "torch"
    if engine not in KV_BYTES:
        raise BadRequestError(f"engine {engine!r} does not generate; take openvino or torch.")
    if engine == "openvino" and not read.is_openvino:
        raise BadRequestError(f"{read.weights} is no .gguf file and has no openvino_model.xml; take engine = torch.")
    if engine == "torch" and read.weights.suffix == ".gguf":
        raise BadRequestError(f"{read.weights} is a GGUF file; take engine = openvino, or a Transformers folder.")
    return engine
