"""Opens an encoder in the engine that the settings name, or that its files need."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.cores import cores
from services.encoder.batcher import Batcher
from services.encoder.cache import RowCache
from services.encoder.encoder_model import EncoderModel
from services.encoder.tokenizer import Tokenizer, Truncation
from services.engines.encoder.head import HeadedEncoder
from services.engines.encoder.interface import Encoder
from services.errors import BadRequestError
from services.http.metrics import Metrics
from services.settings import EncoderSettings, check_device, warn_unread
from services.weights.checkpoint import Checkpoint, Kind, read_checkpoint

ONNX_FILES = ("model.onnx", "onnx/model_quantized.onnx", "onnx/model_int8.onnx", "onnx/model.onnx")


def open_model(settings: EncoderSettings, folder: Path, *, kind: Kind | None = None) -> EncoderModel:
    """Loads the weights; blocking. Raises BadRequestError for a folder that cannot be served as asked."""
    checkpoint = read_checkpoint(folder, preset=settings.preset, kind=kind, max_model_len=settings.max_model_len)
    tokenizer = Tokenizer.load(folder, max_model_len=checkpoint.max_model_len)
    encoder = _open_encoder(settings, checkpoint, tokenizer)
    metrics = Metrics(settings.model_name)
    batcher = Batcher(
        encoder,
        probe=tokenizer.encode(["ok"], Truncation())[0],
        max_batch_tokens=settings.max_batch_tokens,
        max_queue_tokens=settings.max_queue_tokens,
        metrics=metrics,
        warm_up_tokens=checkpoint.max_model_len,
    )
    cache = RowCache(settings.cache_entries, metrics)
    return EncoderModel(settings.model_name, checkpoint, tokenizer, batcher, metrics, settings, cache)


def _open_encoder(settings: EncoderSettings, checkpoint: Checkpoint, tokenizer: Tokenizer) -> Encoder:
    encoder = _open_engine(settings, checkpoint, tokenizer)
    if encoder.best_batch_tokens < settings.max_batch_tokens:
        warn_unread(settings, "max_batch_tokens", why=f"the engine's best batch has {encoder.best_batch_tokens} tokens")
    return HeadedEncoder(encoder, checkpoint.head) if checkpoint.head else encoder


def _open_engine(settings: EncoderSettings, checkpoint: Checkpoint, tokenizer: Tokenizer) -> Encoder:
    engine = settings.engine
    if engine == "auto" and checkpoint.preset is not None:
        engine = checkpoint.preset.engine
    file = find_onnx(checkpoint.folder)
    if engine == "auto":
        engine = "onnx" if file is not None and settings.device in ("auto", "cpu") else "torch"
    threads = settings.threads or cores()
    if engine == "onnx":
        check_device(settings, engine)
        warn_unread(settings, "dtype", why="an ONNX file has its own")
        if file is None:
            raise BadRequestError(f'{checkpoint.folder} has no ONNX file; take engine = "torch".')
        with _installed(engine, "cpu"):
            from services.engines.encoder.onnx import OnnxEncoder  # noqa: PLC0415 - only the engine in use is imported

        pooling = checkpoint.pooling if checkpoint.is_pooled else None
        return OnnxEncoder(file, pooling=pooling, pad_id=tokenizer.pad_id, threads=threads)
    if engine != "torch":
        raise BadRequestError(f"engine {engine!r} does not serve encoders; take onnx or torch.")
    with _installed(engine, "gpu"):
        from services.engines.encoder.torch import TorchEncoder  # noqa: PLC0415 - as above

    return TorchEncoder(
        checkpoint, device=settings.device, dtype=settings.dtype, pad_id=tokenizer.pad_id, threads=threads
    )


@contextmanager
def _installed(engine: str, extra: str) -> Iterator[None]:
    """Turns an ImportError into what to install."""
    try:
        yield
    except ImportError as exc:
        raise BadRequestError(f"engine {engine!r} is not installed: pip install 'ragline[{extra}]'.") from exc


def find_onnx(folder: Path) -> Path | None:
    """The ONNX file of a folder as the hub has them, the quantized one where there are several."""
    return next((folder / name for name in ONNX_FILES if (folder / name).is_file()), None)
