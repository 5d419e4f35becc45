"""Durable files and their checksums."""

import hashlib
import os
from pathlib import Path

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
    """Make a folder and those above it where they are missing; durable when it returns."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        fsync(path.parent)


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
