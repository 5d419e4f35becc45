"""Finds the files that `ragline index` reads: files, folders, globs and URLs, without hidden and binary files."""

import glob
import os
import stat
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from indexing.read.web import is_url
from services.errors import NotFoundError

NAMED_FILES = 20
"""Files that were passed over and are named; the others are only counted."""
_FOLDERS = frozenset(("node_modules", "__pycache__", "__MACOSX", "site-packages", "venv"))
_BINARY = frozenset(
    """
    png jpg jpeg gif bmp tif tiff webp heic ico svgz psd mp3 wav flac ogg m4a aac mp4 mov avi mkv webm wmv zip tar gz
    bz2 xz zst 7z rar jar war whl egg deb rpm iso dmg exe dll so dylib a o obj pyc pyo class wasm bin dat db sqlite
    sqlite3 parquet feather npy npz pt pth onnx gguf safetensors ttf otf woff woff2 eot
    """.split()  # noqa: SIM905 (easier to read)
)


@dataclass(frozen=True, slots=True)
class Sources:
    files: Mapping[Path, int]
    """Absolute path -> bytes, in order."""
    named: frozenset[Path]
    """Files that were named themselves: unreadable ones are reported, not skipped."""
    roots: tuple[Path, ...]
    """Folders, and paths that do not exist: --prune removes documents below them whose files are gone."""
    skipped: Mapping[str, int]
    """Reason -> files and folders."""
    passed_over: tuple[tuple[str, str], ...] = ()
    """(path, reason) of the first NAMED_FILES that are links or no documents."""
    urls: tuple[str, ...] = ()


def find(paths: Sequence[str | Path], *, exact: bool = False) -> Sources:
    """Raises NotFoundError for a path that does not exist, unless its folder does: its file may have been deleted.

    `exact` paths are those of known files: none is a glob, and neither file nor folder has to exist.
    """
    files: dict[Path, int] = {}
    named: set[Path] = set()
    roots: list[Path] = []
    skipped: Counter[str] = Counter()
    passed_over: list[tuple[str, str]] = []
    for path in paths:
        if is_url(str(path)):
            continue
        for match in _matches(Path(path), exact=exact):
            status = _status(match)
            if status is None or stat.S_ISLNK(status.st_mode):
                roots.append(match)
            elif stat.S_ISDIR(status.st_mode):
                roots.append(match)
                files |= _walk(match, skipped, passed_over)
            else:
                named.add(match)
                files[match] = status.st_size
    urls = tuple(filter(is_url, map(str, paths)))
    return Sources(files, frozenset(named), tuple(roots), +skipped, tuple(passed_over), urls)


def check(paths: Sequence[str | Path]) -> None:
    """Raises NotFoundError as find() does, without listing any folder."""
    for path in paths:
        if not is_url(str(path)):
            _matches(Path(path), exact=False)


def folders(paths: Sequence[str | Path]) -> list[Path]:
    """The paths themselves, and of each glob the folder that all of its matches are in; they need not exist."""
    found = []
    for path in paths:
        if not is_url(str(path)):
            folder = Path(os.path.abspath(Path(path).expanduser()))  # noqa: PTH100 (see _matches)
            while glob.has_magic(str(folder)) and not folder.exists():
                folder = folder.parent
            found.append(folder.resolve())
    return found


def _matches(path: Path, *, exact: bool) -> list[Path]:
    """The path itself, or what it matches as a glob; symbolic links are resolved."""
    path = Path(os.path.abspath(path.expanduser()))  # noqa: PTH100 (resolve() would lose a name that is gone)
    if exact:
        return [path]
    try:
        if path.exists():
            return [path.resolve()]
    except OSError as exc:
        raise NotFoundError(f"{path} cannot be looked at: {exc.strerror}", param="paths") from exc
    if matches := sorted(glob.glob(str(path), recursive=True)):  # noqa: PTH207 (absolute)
        return [Path(match).resolve() for match in matches if not _hidden(Path(match).name)]
    if glob.has_magic(str(path)) or not path.parent.is_dir():
        raise NotFoundError(f"nothing at {path}; give a file, a folder or a glob", param="paths")
    return [path.parent.resolve() / path.name]


def _walk(root: Path, skipped: Counter[str], passed_over: list[tuple[str, str]]) -> Iterator[tuple[Path, int]]:
    """Regular files below a folder. Links are not followed: nothing outside of the folder is read."""
    for folder, names, files in os.walk(root, onerror=lambda _: skipped.update(["no permission"])):
        kept = [name for name in names if not _hidden(name) and name not in _FOLDERS]
        skipped["hidden"] += len(names) - len(kept)
        names[:] = sorted(kept)
        for name in sorted(files):
            path = Path(folder, name)
            status = _status(path)
            if reason := _skip_reason(path, status):
                skipped[reason] += 1
                if reason != "hidden" and len(passed_over) < NAMED_FILES:
                    passed_over.append((str(path), reason))
            elif status is not None:
                yield path, status.st_size


def _hidden(name: str) -> bool:
    return name.startswith((".", "~$"))


def _status(path: Path) -> os.stat_result | None:
    """None where it does not exist: files may vanish while they are listed."""
    try:
        return path.lstat()
    except OSError:
        return None


def _skip_reason(path: Path, status: os.stat_result | None) -> str:
    if _hidden(path.name):
        return "hidden"
    if status is not None and stat.S_ISLNK(status.st_mode):
        return "link"
    if status is None or not stat.S_ISREG(status.st_mode):
        return "not a file"
    if path.suffix.lower().lstrip(".") in _BINARY:
        return "not a document"
    return ""
