"""Where collections live, and what they may be called."""

import re
from pathlib import Path

from indexing.errors import CollectionNameError

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
CURRENT = "CURRENT"
"""The file that names the generation in use; replaced in one step."""


def collection_path(data_dir: Path, name: str) -> Path:
    """Raises CollectionNameError."""
    if not _NAME.fullmatch(name):
        raise CollectionNameError(
            f"{name[:80]!r} is not a name of a collection: lower-case letters, digits, - and _, at most 64,"
            " starting with a letter or a digit"
        )
    return data_dir / "index" / name


def collections(data_dir: Path) -> list[str]:
    """The names of all collections, sorted."""
    directory = data_dir / "index"
    if not directory.is_dir():
        return []
    return sorted(
        each.name for each in directory.iterdir() if _NAME.fullmatch(each.name) and (each / CURRENT).is_file()
    )
