"""Durable files and their checksums."""

import hashlib
import os
from pathlib import Path

from indexing.errors import StorageError

_BLOCK = 2**20


def fsync(path: Path) -> None:
    """Flush a file or a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_tree(folder: Path) -> None:
    """Flush a folder and all that is in it."""
    for path in (*folder.rglob("*"), folder):
        fsync(path)


def make_folder(path: Path) -> None:
    """Make a folder and those above it where they are missing; durable when it returns. Raises StorageError."""
    if not path.is_dir():
        make_folder(path.parent)
        try:
            path.mkdir(exist_ok=True)
        except FileExistsError as exc:
            raise StorageError(f"{path} is a file, where a folder is needed") from exc
        fsync(path.parent)


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
