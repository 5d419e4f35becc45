"""Which files `ragline index` reads: files, folders, globs and URLs, without what nobody means to index."""

import glob
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from indexing.web import is_url
from services.errors import NotFoundError

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
    given: frozenset[Path]
    """Those that were named themselves: they are reported where they cannot be read, not skipped."""
    roots: tuple[Path, ...]
    """Folders, and names that are gone: below them --prune removes what is gone."""
    skipped: Mapping[str, int]
    """Why -> how many."""
    urls: tuple[str, ...] = ()


def find(paths: Sequence[str | Path]) -> Sources:
    """Raises NotFoundError for a path that is not there, unless its folder is (a file that is gone)."""
    files: dict[Path, int] = {}
    given: set[Path] = set()
    roots: list[Path] = []
    skipped: Counter[str] = Counter()
    for path in paths:
        if is_url(str(path)):
            continue
        matches = _matches(Path(path))
        for match in matches:
            if match.is_dir():
                roots.append(match)
                files |= {file: file.lstat().st_size for file in _below(match, skipped)}
            elif match.exists():
                given.add(match)
                files[match] = match.stat().st_size
            else:
                roots.append(match)
    return Sources(files, frozenset(given), tuple(roots), +skipped, tuple(filter(is_url, map(str, paths))))


def _matches(path: Path) -> list[Path]:
    """The path itself, or what it matches as a glob; links in what the user typed are followed."""
    path = Path(os.path.abspath(path.expanduser()))  # noqa: PTH100 (resolve() would lose a name that is gone)
    if path.exists():
        return [path.resolve()]
    if matches := sorted(glob.glob(str(path), recursive=True)):  # noqa: PTH207 (absolute)
        return [Path(match).resolve() for match in matches if not _hidden(Path(match).name)]
    if glob.has_magic(str(path)) or not path.parent.is_dir():
        raise NotFoundError(f"nothing at {path}; give a file, a folder or a glob", param="paths")
    return [path.parent.resolve() / path.name]


def _below(root: Path, skipped: Counter[str]) -> Iterator[Path]:
    """Regular files below a folder; links are not followed, so that nothing outside of it is read."""
    for folder, names, files in os.walk(root, onerror=lambda _: skipped.update(["no permission"])):
        kept = [name for name in names if not _hidden(name) and name not in _FOLDERS]
        skipped["hidden"] += len(names) - len(kept)
        names[:] = sorted(kept)
        for name in sorted(files):
            path = Path(folder, name)
            if why := _why_not(path):
                skipped[why] += 1
            else:
                yield path


def _hidden(name: str) -> bool:
    return name.startswith((".", "~$"))


def _why_not(path: Path) -> str:
    if _hidden(path.name):
        return "hidden"
    if path.is_symlink():
        return "link"
    if not path.is_file():
        return "not a file"
    if path.suffix.lower().lstrip(".") in _BINARY:
        return "not a document"
    return ""
