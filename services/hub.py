"""Weights from the Hugging Face hub, or from the mirror that HF_ENDPOINT names."""

import hashlib
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from services.sources import HubSource, WeightsError
from services.transfers import OnTransfer, Transfer

SMALL = ("*.json", "*.txt", "*.jinja", "*.model")
WEIGHTS = (("*.safetensors",), ("openvino*.xml", "openvino*.bin"), ("model.onnx*",), ("onnx/model.onnx*",), ("*.gguf",))
"""In order of preference: a repository often holds the same weights in several formats. Pickles are not among them."""


def fetch(source: HubSource, part: Path, on_transfer: OnTransfer) -> None:
    """Fill `part`, going on where an earlier try ended, and check every file that the hub has a sha256 of."""
    try:
        import huggingface_hub  # noqa: PLC0415  an extra
    except ImportError as exc:
        raise WeightsError(
            f"hub:{source.repository} needs huggingface_hub: `pip install 'ragline[hub]'`, or give a folder"
        ) from exc
    huggingface_hub.utils.disable_progress_bars()
    on_transfer(Transfer(source.repository, "looking up"))
    with _translated(source, part):
        files = _chosen(source, huggingface_hub.HfApi())
        _make_sure_of_room(source, files, part)
        with _watched(source, part, sum(f.size for f in files), on_transfer):
            huggingface_hub.snapshot_download(
                source.repository,
                revision=source.revision,
                allow_patterns=[f.path for f in files],
                local_dir=part,
                max_workers=4,
            )
        on_transfer(Transfer(source.repository, "verifying"))
        _verify(source, files, part)
    shutil.rmtree(part / ".cache", ignore_errors=True)


def _chosen(source: HubSource, api: Any) -> list[Any]:
    """The repository's files to fetch: those of the preset, else configuration and one format of weights."""
    listed = api.list_repo_tree(source.repository, revision=source.revision, recursive=True)
    files = [f for f in listed if hasattr(f, "size")]
    patterns = source.files or (*SMALL, *_format([f.path for f in files]))
    chosen = [f for f in files if _matches(f.path, patterns)]
    if not chosen:
        raise WeightsError(f"hub:{source.repository}@{source.revision} holds none of {', '.join(patterns)}")
    return chosen


def _format(paths: Sequence[str]) -> Sequence[str]:
    for patterns in WEIGHTS:
        if any(_matches(path, patterns) for path in paths):
            return patterns
    raise WeightsError(f"no weights that ragline reads among {', '.join(paths)}")


def _matches(path: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(path, pattern) for pattern in patterns)


def _make_sure_of_room(source: HubSource, files: Sequence[Any], part: Path) -> None:
    part.mkdir(parents=True, exist_ok=True)
    needed, free = sum(f.size for f in files) - _size_of(part), shutil.disk_usage(part).free
    if free < needed:
        raise WeightsError(
            f"no room for hub:{source.repository} in {part.parent}: {needed >> 20} MiB are needed, {free >> 20} MiB "
            "are free. Free some, or set RAGLINE_CACHE_DIR to another disk."
        )


@contextmanager
def _watched(source: HubSource, part: Path, total: int, on_transfer: OnTransfer) -> Iterator[None]:
    """Tell what has arrived on the disk, whichever way the hub library fetches it."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.25):
            on_transfer(Transfer(source.repository, "downloading", min(_size_of(part), total), total))

    watcher = threading.Thread(target=watch, name="hub-progress", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def _size_of(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:  # renamed meanwhile
            continue
    return total


def _verify(source: HubSource, files: Sequence[Any], part: Path) -> None:
    for listed in files:
        if listed.lfs is None:
            continue
        with (part / listed.path).open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != listed.lfs.sha256:
            (part / listed.path).unlink()
            raise WeightsError(
                f"{listed.path} of hub:{source.repository} was fetched with sha256 {found}, but the hub says "
                f"{listed.lfs.sha256}. It was thrown away; run the same command again."
            )


@contextmanager
def _translated(source: HubSource, part: Path) -> Iterator[None]:
    """The hub library's errors as ours."""
    from huggingface_hub import constants, errors  # noqa: PLC0415  an extra

    name, page = f"hub:{source.repository}@{source.revision}", f"{constants.ENDPOINT}/{source.repository}"
    try:
        yield
    except errors.GatedRepoError as exc:
        raise WeightsError(
            f"{name} is gated: accept its licence at {page}, make a token there, and set HF_TOKEN to it"
        ) from exc
    except errors.RevisionNotFoundError as exc:
        raise WeightsError(f"{name}: the repository has no such revision; see {page}/commits/main") from exc
    except errors.RepositoryNotFoundError as exc:
        raise WeightsError(f"{name} does not exist at {constants.ENDPOINT}, or is private: then set HF_TOKEN") from exc
    except OSError as exc:
        if exc.errno is not None and not isinstance(exc, ConnectionError):
            raise WeightsError(f"{name} could not be written to {part}: {exc}") from exc
        raise WeightsError(_unreachable(name, exc)) from exc
    except WeightsError:
        raise
    except Exception as exc:
        raise WeightsError(_unreachable(name, exc)) from exc


def _unreachable(name: str, exc: Exception) -> str:
    return (
        f"{name} could not be fetched: {type(exc).__name__}: {exc}. Check the network and HF_ENDPOINT; what has "
        "arrived is kept. On a machine without network, copy the model's folder there and name its path."
    )
