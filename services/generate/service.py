"""The generate service: a generator behind the routes for chats and completions."""

import hashlib
from pathlib import Path

from services import __version__
from services.errors import BadRequestError
from services.generate.chat import chat_invocation, chat_router
from services.generate.completions import completion_invocation, completions_router
from services.generate.decisions import decisions_router
from services.generate.folder import GeneratorFolder, read_folder
from services.generate.generation_metrics import GenerationMetrics
from services.generate.generator_model import GeneratorModel
from services.generate.open import open_engine
from services.generate.queue import GenerationQueue
from services.generate.tokenize_routes import tokenize_router
from services.http.invocations import invocations_router
from services.http.metrics import Metrics
from services.http.server import Service
from services.settings import GeneratorSettings


def generate_service(settings: GeneratorSettings, folder: Path) -> Service:
    """The generate service over the weights in `folder` (a .gguf file, or a folder). Raises BadRequestError."""
    read = read_folder(folder)
    metrics = Metrics(settings.model_name)
    max_model_len = _max_model_len(settings, read)
    engine = open_engine(settings, read, max_model_len)
    queue = GenerationQueue(engine, max_queue_tokens=settings.max_queue_tokens, metrics=GenerationMetrics(metrics))
    fingerprint = f"ragline-{__version__}-{hashlib.sha256(str(settings.model).encode()).hexdigest()[:8]}"
    model = GeneratorModel(settings.model_name, read, max_model_len, engine, queue, settings, metrics, fingerprint)
    return Service(
        title="ragline generate",
        model_name=settings.model_name,
        root=str(folder),
        max_model_len=max_model_len,
        backend=queue,
        routers=[
            chat_router(model),
            completions_router(model),
            decisions_router(model),
            tokenize_router(model),
            invocations_router([chat_invocation(model), completion_invocation(model)]),
        ],
        metrics=metrics,
    )


def _max_model_len(settings: GeneratorSettings, read: GeneratorFolder) -> int:
    wanted = settings.max_model_len or (settings.preset.max_model_len if settings.preset else read.max_model_len)
    if wanted > read.max_model_len:
        raise BadRequestError(f"max_model_len = {wanted} is over what the model was made for, {read.max_model_len}.")
    return wanted
