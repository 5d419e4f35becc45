"""What the index holds already, against what lies on disk: unchanged, moved, changed, gone."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from indexing.document import RECORD, Document, document_id

Row = tuple[str, str]
"""document_id, content_hash"""


class Plan:
    """Decides by content hash. `known` is the store's own listing: source -> Row."""

    def __init__(self, known: Mapping[str, Row]) -> None:
        self._known = known
        self._by_file: defaultdict[str, dict[str, Row]] = defaultdict(dict)
        self._by_hash: defaultdict[str, list[str]] = defaultdict(list)
        self._elsewhere = set[str]()
        for source, row in known.items():
            self._by_file[file_of(source)][source] = row
            if RECORD not in source:
                self._by_hash[row[1]].append(source)
            if row[0] != document_id(source):
                self._elsewhere.add(row[0])

    def of_file(self, path: Path | str) -> dict[str, Row]:
        """What is indexed of a file or URL: itself, or its records."""
        return self._by_file.get(str(path), {})

    def moved(self, content_hash: str) -> str | None:
        """The id of a document with this content whose file is gone; each is given once."""
        candidates = self._by_hash.get(content_hash, [])
        for source in candidates:
            if Path(source).is_absolute() and is_gone(source):
                candidates.remove(source)
                return self._by_file[source].pop(source)[0]
        return None

    def identified(self, document: Document) -> Document:
        """With the id that its source has; with a new one where its own belongs to a document that was moved."""
        if row := self._known.get(document.source):
            return replace(document, id=row[0])
        if document.id in self._elsewhere:
            return replace(document, id=document_id(document.source + document.content_hash))
        return document

    def gone(self, roots: Iterable[Path]) -> list[str]:
        """Ids of documents whose files below these roots are there no more."""
        below = tuple(str(root) for root in roots)
        return [
            row[0]
            for file, rows in self._by_file.items()
            if any(file == root or file.startswith(root.rstrip("/") + "/") for root in below) and is_gone(file)
            for row in rows.values()
        ]


def is_gone(path: str) -> bool:
    """Not where nobody may look, or the disk fails: what is away for a while takes no document with it."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        pass
    return False


def file_of(source: str) -> str:
    return source.partition(RECORD)[0]


def content_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
