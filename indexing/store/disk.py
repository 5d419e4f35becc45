"""Folders that are durable, or a StorageError."""

from pathlib import Path

from indexing.errors import StorageError
from services.disk import fsync


def make_folder(path: Path) -> None:
    """Make a folder and those above it where they are missing; durable when it returns. Raises StorageError."""
    if not path.is_dir():
        make_folder(path.parent)
        try:
            path.mkdir(exist_ok=True)
        except FileExistsError as exc:
            raise StorageError(f"{path} is a file, where a folder is needed") from exc
        fsync(path.parent)
