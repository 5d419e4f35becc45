"""Files that are written once: on the disk for sure, and known by their checksums."""

import hashlib
import os
from pathlib import Path

_BLOCK = 2**20


def fsync(path: Path) -> None:
    """Of a file or a directory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
