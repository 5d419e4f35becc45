"""A GGUF file as OpenVINO reads it fastest: converted once, and kept beside the file."""

import logging
import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import openvino_genai as genai

log = logging.getLogger(__name__)

NEEDED = ("openvino_model.xml", "openvino_tokenizer.xml", "openvino_detokenizer.xml")


def converted(model: Path) -> Path:
    """The folder to load; the GGUF file itself where nothing can be kept beside it."""
    if model.suffix != ".gguf":
        return model
    place = model.with_name(f".{model.stem}.openvino-{genai.get_version()}")
    if all((place / name).is_file() for name in NEEDED):
        return place
    try:
        _convert(model, place)
    except OSError as exc:
        log.warning("%s cannot be kept in converted form (%s); each start will convert it", model, exc)
        return model
    return place


def _convert(model: Path, place: Path) -> None:
    with TemporaryDirectory(dir=model.parent, prefix=".convert-") as made:
        folder = Path(made)
        source = folder / "model.gguf"
        source.symlink_to(model.absolute())
        tokenizer = genai.Tokenizer(source, enable_save_ov_model=True)
        scheduler = genai.SchedulerConfig()
        scheduler.num_kv_blocks = 1
        genai.ContinuousBatchingPipeline(source, tokenizer, scheduler, "CPU", enable_save_ov_model=True)
        source.unlink()
        whole = folder / "whole"
        whole.mkdir()
        for file in folder.glob("openvino_*"):
            _sync(file.rename(whole / file.name))
        shutil.rmtree(place, ignore_errors=True)
        whole.rename(place)


def _sync(file: Path) -> None:
    with file.open("rb") as stream:
        os.fsync(stream.fileno())
