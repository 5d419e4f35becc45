"""Watches files and folders by listing them again and again, which works on any disk."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from indexing.read import sources
from services.errors import NotFoundError

_EVERY_S = 1.0
_LISTING_SHARE = 0.05
"""Of the time, at most: a tree that takes a second to list is listed every 20."""


@dataclass(frozen=True, slots=True)
class Listing:
    files: Mapping[Path, tuple[int, int, int]]
    """Size, modification time (ns) and inode of each file."""
    took_s: float


async def list_files(paths: Sequence[str | Path]) -> Listing:
    return await asyncio.to_thread(_list_files, paths)


async def watch_files(
    paths: Sequence[str | Path], since: Listing, *, every_s: float = _EVERY_S
) -> AsyncIterator[tuple[list[Path], list[Path]]]:
    """(new or changed, gone) files since the last item, endlessly; a file that is being written is waited for."""
    before = since
    while True:
        await asyncio.sleep(max(every_s, before.took_s / _LISTING_SHARE))
        now = await list_files(paths)
        while now.files != before.files:
            await asyncio.sleep(every_s)
            later = await list_files(paths)
            if later.files == now.files:
                changed = [path for path, stat in now.files.items() if before.files.get(path) != stat]
                yield changed, [path for path in before.files if path not in now.files]
                before = now
            now = later


def _list_files(paths: Sequence[str | Path]) -> Listing:
    began = time.monotonic()
    files: dict[Path, tuple[int, int, int]] = {}
    for path in paths:
        try:
            found = sources.find([path]).files
        except NotFoundError:
            continue
        for file in found:
            try:
                stat = file.lstat()
            except OSError:
                continue
            files[file] = (stat.st_size, stat.st_mtime_ns, stat.st_ino)
    return Listing(files, time.monotonic() - began)
