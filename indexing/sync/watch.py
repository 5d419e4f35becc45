"""A folder followed: what changed and what is gone, once it has settled. By looking again: that works on any disk."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from indexing.read import sources
from services.errors import NotFoundError

_EVERY_S = 1.0
_SHARE = 0.05
"""Of the time that may go into looking: a tree that takes a second to walk is walked every 20."""


@dataclass(frozen=True, slots=True)
class Look:
    """A tree at one moment."""

    files: Mapping[Path, tuple[int, int, int]]
    """Each file with what tells a change: size, time, inode."""
    took_s: float


async def look(paths: Sequence[str | Path]) -> Look:
    return await asyncio.to_thread(_looked, paths)


async def changes(
    paths: Sequence[str | Path], since: Look, *, every_s: float = _EVERY_S
) -> AsyncIterator[tuple[list[Path], list[Path]]]:
    """(new or changed, gone) after `since`, endlessly; each time what happened since the last."""
    before = since
    while True:
        await asyncio.sleep(max(every_s, before.took_s / _SHARE))
        now = await look(paths)
        while now.files != before.files:
            await asyncio.sleep(every_s)
            again = await look(paths)
            if again.files == now.files:
                changed = [path for path, stat in now.files.items() if before.files.get(path) != stat]
                yield changed, [path for path in before.files if path not in now.files]
                before = now
            now = again


def _looked(paths: Sequence[str | Path]) -> Look:
    began = time.monotonic()
    seen: dict[Path, tuple[int, int, int]] = {}
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
            seen[file] = (stat.st_size, stat.st_mtime_ns, stat.st_ino)
    return Look(seen, time.monotonic() - began)
