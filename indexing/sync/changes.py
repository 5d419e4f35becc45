"""What the index holds, compared with what is on disk: unchanged, moved, changed, gone."""

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from indexing.document import RECORD, Document, document_id, file_of

Row = tuple[str, str]
"""document_id, content_hash"""


class KnownDocuments:
    """The indexed documents by file and by content hash; `known` is DocumentStore.known(): source -> Row."""

    def __init__(self, known: Mapping[str, Row]) -> None:
        self._by_source = known
        self._by_file: defaultdict[str, dict[str, Row]] = defaultdict(dict)
        self._by_hash: defaultdict[str, list[str]] = defaultdict(list)
        self._foreign_ids = set[str]()
        """Ids that do not come from the document's source: it was moved, or its id was given."""
        for source, row in known.items():
            self._by_file[file_of(source)][source] = row
            if RECORD not in source:
                self._by_hash[row[1]].append(source)
            if row[0] != document_id(source):
                self._foreign_ids.add(row[0])

    def of_file(self, path: Path | str) -> dict[str, Row]:
        """The documents of a file or URL: itself, or its records."""
        return self._by_file.get(str(path), {})

    def take_moved(self, content_hash: str) -> str | None:
        """The id of a document with this content whose file is gone; no document is returned twice."""
        candidates = self._by_hash.get(content_hash, [])
        for source in candidates:
            if Path(source).is_absolute() and is_gone(source):
                candidates.remove(source)
                return self._by_file[source].pop(source)[0]
        return None

    def with_id(self, document: Document) -> Document:
        """The document with the id that its source has in the index, or a new id where a moved document has its own."""
        if row := self._by_source.get(document.source):
            return replace(document, id=row[0])
        if document.id in self._foreign_ids:
            return replace(document, id=document_id(document.source + document.content_hash))
        return document

    def gone(self, roots: Iterable[Path]) -> list[str]:
        """Ids of the documents below these roots whose files no longer exist."""
        below = tuple(str(root) for root in roots)
        return [
            row[0]
            for file, rows in self._by_file.items()
            if any(file == root or file.startswith(root.rstrip("/") + "/") for root in below) and is_gone(file)
            for row in rows.values()
        ]


def is_gone(path: str) -> bool:
    """False after "permission denied" or an I/O error: the file may be there."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        pass
    return False
