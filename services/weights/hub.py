"""Weights from the Hugging Face hub, or from the mirror that HF_ENDPOINT names.

The hub's own library lists the repository, signs the requests and names the errors. The bytes are received here: its
`snapshot_download` (2.4) throws a half-fetched file away, so that a shard of 5 GB broken at its end begins anew.
"""

import hashlib
import os
import re
import shutil
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from services.weights.pip_fetch import size_of
from services.weights.progress import OnTransfer, Transfer
from services.weights.sources import HubSource, WeightsError, matches

SMALL = ("*.json", "*.txt", "*.jinja", "*.model")
WEIGHTS = (("*.safetensors",), ("openvino*.xml", "openvino*.bin"), ("model.onnx*",), ("onnx/model.onnx*",), ("*.gguf",))
"""In order of preference: a repository often holds the same weights in several formats. Pickles are not among them."""
CONNECTIONS = 4
FRUITLESS_TRIES = 5
"""Connections in a row without a byte, after which the download fails."""
STALL_S = 10.0
"""A connection that sends nothing for so long is given up, and the download resumed by another."""


def fetch(source: HubSource, partial: Path, on_transfer: OnTransfer) -> Path:
    """Downloads into a folder in `partial`, resuming an earlier try; checks every hash. Returns that folder."""
    try:
        import huggingface_hub  # noqa: PLC0415  an extra
    except ImportError as exc:
        raise WeightsError(
            f"hub:{source.repository} needs huggingface_hub: `pip install 'ragline[hub]'`, or give a folder"
        ) from exc
    on_transfer(Transfer(source.repository, "looking up"))
    with _translate_errors(source, partial):
        source = _at_commit(source, huggingface_hub.HfApi())
        part = _folder_of_commit(partial, source.revision)
        files = _chosen(source, huggingface_hub.HfApi())
        _check_free_space(source, files, part)
        with _report_progress(source, part, sum(f.size for f in files), on_transfer):
            _fetch_files(source, files, part)
        on_transfer(Transfer(source.repository, "verifying"))
        _verify(source, files, part)
    return part


def _at_commit(source: HubSource, api: Any) -> HubSource:
    """The source with its branch resolved to a commit, so that all files are of the same one."""
    if re.fullmatch("[0-9a-f]{40}", source.revision):
        return source
    return replace(source, revision=api.model_info(source.repository, revision=source.revision).sha)


def _folder_of_commit(partial: Path, commit: str) -> Path:
    """The commit's folder; removes what an earlier try left of other commits."""
    for other in partial.glob("*"):
        if other.name != commit:
            shutil.rmtree(other, ignore_errors=True)
    return partial / commit


def _fetch_files(source: HubSource, files: Sequence[Any], part: Path) -> None:
    """Fetches CONNECTIONS files at once; the first failure stops all."""
    stop = threading.Event()
    with ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="hub") as pool:
        fetching = [pool.submit(_fetch_file, source, listed, part, stop) for listed in files]
        try:
            for each in fetching:
                each.result()
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise


def _fetch_file(source: HubSource, listed: Any, part: Path, stop: threading.Event) -> None:
    """Fetches one file in ranges into NAME.part, renamed to NAME when complete."""
    from huggingface_hub import hf_hub_url  # noqa: PLC0415  an extra

    target = part / listed.path
    half = target.with_name(f"{target.name}.part")
    if target.exists():
        return
    half.parent.mkdir(parents=True, exist_ok=True)
    url = hf_hub_url(source.repository, listed.path, revision=source.revision)
    fruitless, have = 0, -1
    while trouble := _receive(url, half, listed.size, stop):
        fruitless = fruitless + 1 if half.stat().st_size <= have else 0
        have = half.stat().st_size
        if fruitless == FRUITLESS_TRIES or stop.wait(0.25 * 2**fruitless):
            raise WeightsError(
                f"the download of {listed.path} of hub:{source.repository} broke: {trouble}. Run the same command "
                "again; it goes on where this one ended."
            )
    half.rename(target)


def _receive(url: str, half: Path, size: int, stop: threading.Event) -> str:
    """Appends what one connection sends; returns its error, or "" once the file is complete."""
    from huggingface_hub import errors  # noqa: PLC0415  an extra
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status  # noqa: PLC0415

    with half.open("ab") as file:
        headers = build_hf_headers() | {"Accept-Encoding": "identity"}
        headers |= {"Range": f"bytes={file.tell()}-"} if file.tell() else {}
        if file.tell() >= size:
            file.truncate(size)
            return ""
        try:
            with get_session().stream("GET", url, headers=headers, follow_redirects=True, timeout=STALL_S) as answer:
                hf_raise_for_status(answer)
                if answer.status_code != 206:  # noqa: PLR2004  the whole file
                    file.truncate(0)
                for chunk in answer.iter_bytes():
                    file.write(chunk)
                    if stop.is_set():
                        return "another file failed"
            file.flush()
            os.fsync(file.fileno())
        except errors.HfHubHTTPError as exc:
            if exc.response.status_code < 500:  # noqa: PLR2004
                raise
            return _one_line(exc)
        except OSError:
            raise
        except Exception as exc:  # noqa: BLE001  httpx, which hub 1.0 and 2.0 have under different names
            return _one_line(exc) or type(exc).__name__
        return "" if file.tell() == size else "the connection was closed early"


def _chosen(source: HubSource, api: Any) -> list[Any]:
    """The files to fetch: those of the preset, else configuration and one format of weights."""
    listed = api.list_repo_tree(source.repository, revision=source.revision, recursive=True)
    files = [f for f in listed if hasattr(f, "size")]
    patterns = source.files or (*SMALL, *_format(source, [f.path for f in files]))
    chosen = [f for f in files if matches(f.path, patterns)]
    if not chosen:
        raise WeightsError(f"hub:{source.repository}@{source.revision} holds none of {', '.join(patterns)}")
    if unsafe := [f.path for f in chosen if PurePosixPath(f.path).is_absolute() or ".." in PurePosixPath(f.path).parts]:
        raise WeightsError(f"hub:{source.repository} lists an unsafe path, {unsafe[0]!r}; nothing was fetched from it")
    return chosen


def _format(source: HubSource, paths: Sequence[str]) -> Sequence[str]:
    for patterns in WEIGHTS:
        found = [path for path in paths if matches(path, patterns)]
        if len(found) > 1 and patterns == ("*.gguf",):
            name = f"hub:{source.repository}@{source.revision}"
            raise WeightsError(
                f"{name} holds {len(found)} GGUF files; name one: {', '.join(f'{name}/{p}' for p in found)}"
            )
        if found:
            return patterns
    raise WeightsError(f"no weights that ragline reads among {', '.join(paths)}")


def _check_free_space(source: HubSource, files: Sequence[Any], part: Path) -> None:
    part.mkdir(parents=True, exist_ok=True)
    needed, free = sum(f.size for f in files) - size_of(part), shutil.disk_usage(part).free
    if free < needed:
        raise WeightsError(
            f"no room for hub:{source.repository} in {part.parent}: {needed >> 20} MiB are needed, {free >> 20} MiB "
            "are free. Free some, or set RAGLINE_CACHE_DIR to another disk."
        )


@contextmanager
def _report_progress(source: HubSource, part: Path, total: int, on_transfer: OnTransfer) -> Iterator[None]:
    """Reports the bytes on the disk every 0.25 s."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.25):
            on_transfer(Transfer(source.repository, "downloading", min(size_of(part), total), total))

    watcher = threading.Thread(target=watch, name="hub-progress", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def _verify(source: HubSource, files: Sequence[Any], part: Path) -> None:
    """Checks the sha256 of large files, and of small ones the hash that git has of them."""
    for listed in files:
        kind, said = ("sha256", listed.lfs.sha256) if listed.lfs else ("git's sha1", listed.blob_id)
        with (part / listed.path).open("rb") as file:
            found = hashlib.file_digest(file, partial(_hash, listed)).hexdigest()
        if found != said:
            (part / listed.path).unlink()
            raise WeightsError(
                f"{listed.path} of hub:{source.repository} was fetched with {kind} {found}, but the hub says {said}. "
                "It was thrown away; run the same command again."
            )


def _hash(listed: Any) -> Any:
    """git hashes a file behind its kind and size."""
    return hashlib.sha256() if listed.lfs else hashlib.sha1(b"blob %d\0" % listed.size, usedforsecurity=False)


@contextmanager
def _translate_errors(source: HubSource, part: Path) -> Iterator[None]:
    """Turns the hub library's errors into WeightsError."""
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
    except WeightsError:
        raise
    except OSError as exc:
        if exc.errno is not None and not isinstance(exc, ConnectionError):
            raise WeightsError(f"{name} could not be written to {part}: {exc}") from exc
        raise WeightsError(_unreachable(name, exc)) from exc
    except Exception as exc:
        raise WeightsError(_unreachable(name, exc)) from exc


def _unreachable(name: str, exc: Exception) -> str:
    return (
        f"{name} could not be fetched: {type(exc).__name__}: {_one_line(exc)}. Check the network and HF_ENDPOINT; what "
        "has arrived is kept. On a machine without network, copy the model's folder there and name its path."
    )


def _one_line(exc: Exception) -> str:
    return " ".join(str(exc).split())[:300]
