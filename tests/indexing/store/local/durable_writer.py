"""Writes in every way while it notes what a loss of power would take: `python -m ...durable_writer FOLDER`.

After each step it prints, as JSON, what of the folders that the step needs was not flushed. A file is flushed while it
has the time of modification that only fsync sets here; a folder, while it holds the entries that it held at its last
fsync. SQLite's own files and locks are left out, and BM25, which is built again.
"""

import itertools
import json
import os
import sqlite3
import sys
from dataclasses import replace
from pathlib import Path
from stat import S_ISDIR
from typing import Any

from indexing.store.local import LocalStores, Store, collection_path, restore
from tests.indexing.made import MANIFEST, OTHER, bulk, clustered, item
from tests.indexing.store.local.test_successor import catch_up

_flush = os.fsync
_times = itertools.count(10**9)
_LEFT_OUT = ("store.sqlite3", "lock", "bm25-", ".snapshot", ".default.dropped", ".small.dropped")
Entries = dict[str, int]
flushed: dict[tuple[int, int], int | Entries] = {}
"""(device, inode) -> the time of modification in ns that the last fsync has set, or the entries of the folder."""
connections: list[Any] = []
early: list[str] = []
"""What was renamed before it was flushed."""


def fsync(fd: int) -> None:
    _flush(fd)
    stat = os.fstat(fd)
    key = stat.st_dev, stat.st_ino
    if S_ISDIR(stat.st_mode):
        flushed[key] = entries(fd)
    else:
        os.utime(fd, ns=(stat.st_atime_ns, next(_times)))
        flushed[key] = os.fstat(fd).st_mtime_ns


def entries(folder: int | Path) -> Entries:
    with os.scandir(folder) as found:
        return {each.name: each.inode() for each in found if not each.name.startswith(_LEFT_OUT)}


def flushed_entries(folder: Path) -> Entries:
    stat = folder.stat()
    known = flushed.get((stat.st_dev, stat.st_ino))
    return known if isinstance(known, dict) else {}


def is_flushed(path: Path) -> bool:
    if path.is_dir():
        return entries(path).items() <= flushed_entries(path).items()
    stat = path.stat()
    return flushed.get((stat.st_dev, stat.st_ino)) == stat.st_mtime_ns


def lost(path: Path) -> list[str]:
    """What of a file, or of a folder with all in it, was not flushed."""
    inside = [each for name in entries(path) for each in lost(path / name)] if path.is_dir() else []
    return inside if is_flushed(path) else [str(path), *inside]


def note(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "os.rename":
        source, target = (Path(os.fsdecode(each)) for each in arguments[:2])
        if not (source.name.startswith(_LEFT_OUT) or target.name.startswith(_LEFT_OUT) or "bm25-" in str(target)):
            early.extend(f"{each}, renamed to {target.name}" for each in lost(source))
        if target.name == "CURRENT":
            there = {name: at for name, at in entries(target.parent).items() if not name.startswith("CURRENT")}
            if not there.items() <= flushed_entries(target.parent).items():
                early.append(f"the generation in {target.parent}, named by CURRENT")
    elif event == "sqlite3.connect/handle":
        connections.append(arguments[0])


def unsafe() -> list[str]:
    """Connections that may write and do not wait for the disk."""
    found = []
    for connection in connections:
        try:
            (only_reads,) = connection.execute("PRAGMA query_only").fetchone()
            (level,) = connection.execute("PRAGMA synchronous").fetchone()
        except sqlite3.ProgrammingError:  # closed
            continue
        if not only_reads and level < 2:  # FULL
            found.append(f"synchronous is {level}")
    return found


def main() -> None:
    root = Path(sys.argv[1])
    data = root / "not" / "there" / "yet"
    path = collection_path(data, "default")
    kept = root / "snapshots" / "first"
    os.fsync = fsync
    sys.addaudithook(note)

    def report(what: str, *needed: Path) -> None:
        made = [each for each in (root, root / "not", root / "not" / "there", data, data / "index") if each.exists()]
        gone = [str(each) for each in made if not is_flushed(each)]
        for each in needed:
            gone += lost(each)
        print(json.dumps({"step": what, "lost": gone, "early": early, "unsafe": unsafe()}), flush=True)
        early.clear()

    def successor(store: Store) -> None:
        with store.successor(OTHER) as made:
            catch_up(store, made)
            assert store.promote(made)

    with Store.create_or_open(path, MANIFEST) as store:
        report("create", path)
        store.put(bulk(clustered(9000, 1)))
        report("seal", path)
        store.adopt(replace(MANIFEST, language="german"))
        report("adopt", path)
        store.snapshot(kept)
        report("snapshot", kept, kept.parent)
        restore(kept, path)
        report("restore", path)
    restored = collection_path(data, "restored")
    restore(kept, restored)
    report("restore anew", restored)
    small = collection_path(data, "small")
    with Store.create_or_open(small, MANIFEST) as store:
        store.put([item("a", "red apples")])
        successor(store)
        report("promote", small)
    LocalStores(data).drop("small")
    if "small" in flushed_entries(small.parent):
        early.append("small is still there")
    report("drop")


if __name__ == "__main__":
    main()
