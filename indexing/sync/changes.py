"""What the index holds, compared with what is on disk: unchanged, moved, changed, gone."""

import os
import stat
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from indexing.document import Document, document_id, file_of
from indexing.read.formats.versions import CURRENT
from indexing.store.interface import DocumentStore, Known

_LOOKED_UP = 1000
"""Files at once."""
Rows = Mapping[str, Known]
"""The documents of a file or URL by source: itself, or its records."""


class KnownDocuments:
    """Looks up what a run needs to know of the indexed documents. For any thread."""

    def __init__(self, store: DocumentStore) -> None:
        self._store = store
        self._taking = threading.Lock()
        self._movable: dict[tuple[str, str], list[Known]] = {}
        """(content hash, record) -> the documents that were found so, until take_moved() has looked at them."""

    def of_files(self, files: Sequence[str]) -> dict[str, Rows]:
        """File or URL -> its documents, {} where it has none."""
        found: dict[str, dict[str, Known]] = {file: {} for file in files}
        for row in self._store.known(files=files):
            found[file_of(row.source)][row.source] = row
        return dict(found)

    def take_moved(self, new: Mapping[str, str]) -> dict[str, Known]:
        """For new sources and their content hashes: the documents of this content, and record, whose files are gone.

        They are those of the new sources from now on. One of a file of the same name is preferred, and none is returned
        twice, on whatever threads.
        """
        wanted = {source: (content_hash, _record(source)) for source, content_hash in new.items()}
        with self._taking:
            self._load({key[0] for key in wanted.values() if key not in self._movable})
            taken = {source: self._take(source, self._movable.get(key, [])) for source, key in wanted.items()}
        return {source: row for source, row in taken.items() if row is not None}

    def _load(self, hashes: set[str]) -> None:
        found = defaultdict(list)
        for row in self._store.known(hashes=hashes):
            found[row.content_hash, _record(row.source)].append(row)
        self._movable = {**found, **self._movable} if found else self._movable

    def _take(self, source: str, candidates: list[Known]) -> Known | None:
        name = os.sep + os.path.basename(file_of(source))  # noqa: PTH119 (for each of many equal files)
        candidates.sort(key=lambda row: file_of(row.source).endswith(name))
        while candidates:
            row = candidates.pop()
            if os.path.isabs(row.source) and is_gone(file_of(row.source)):  # noqa: PTH117 (likewise)
                return row
        return None

    def with_ids(self, documents: Sequence[Document], before: Rows) -> list[Document]:
        """The documents with the ids that their sources had `before`; new ones where a moved document has theirs."""
        new = [document.id for document in documents if document.source not in before]
        of_id = {row.id: row.source for row in self._store.known(ids=new)}
        return [_with_id(document, before.get(document.source), of_id) for document in documents]

    def doubled(self, files: Iterable[str]) -> list[str]:
        """Return the ids of all but one of the documents of a source; all runs spare the same one.

        Two runs at once make them of a file that was renamed: one moves its document, and the other, which has looked
        it up before, adds it.
        """
        found, files = list[str](), iter(files)
        while some := list(islice(files, _LOOKED_UP)):
            rows = sorted(self._store.known(files=some), key=lambda row: (row.id == document_id(row.source), row.id))
            spared = {row.source: row.id for row in rows}
            found += [row.id for row in rows if row.id != spared[row.source]]
        return found

    def gone(self, roots: Iterable[Path]) -> dict[str, str]:
        """Id -> source of the documents at and below these roots whose files no longer exist."""
        found, file, absent = {}, "", False
        for root in roots:
            for each in (self._store.known(files=[str(root)]), self._store.known_below(_inside(root))):
                for row in each:
                    if file != file_of(row.source):
                        file = file_of(row.source)
                        absent = is_gone(file)
                    if absent:
                        found[row.id] = row.source
        return found

    def prunable(self, roots: Iterable[Path], guarded: Iterable[Path]) -> tuple[set[str], list[str]]:
        """gone(roots) without those below a guarded folder that would lose more than half of its documents by it.

        Returns a sentence for each such folder, too. What a run found new is in the store by then, and counts.
        """
        gone, going, kept = self.gone(roots), set[str](), []
        going.update(gone)
        for folder in guarded:
            inside = _inside(folder)
            lost = {identity for identity in going if gone[identity].startswith(inside)}
            documents = sum(1 for _ in islice(self._store.known_below(inside), 2 * len(lost)))
            if 2 * len(lost) > documents:
                going -= lost
                kept.append(
                    f"{len(lost):,} of the {documents:,} documents below {folder} have no file any more, as where"
                    " a disk is not mounted, and none was removed: if they are to go, run the same with --prune=all"
                )
        return going, kept


def is_outdated(row: Known) -> bool:
    """Whether an older reader has read the document."""
    return bool(row.reader) and row.reader not in CURRENT


def is_gone(path: str) -> bool:
    """Whether no file is there, but nothing, a link or a folder. False after "permission denied" or an I/O error."""
    try:
        return not stat.S_ISREG(os.lstat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        pass
    return False


def _with_id(document: Document, before: Known | None, of_id: Mapping[str, str]) -> Document:
    if before is not None:
        return replace(document, id=before.id)
    if of_id.get(document.id, document.source) != document.source:
        return replace(document, id=document_id(document.source + document.content_hash))
    return document


def _record(source: str) -> str:
    return source[len(file_of(source)) :]


def _inside(folder: Path) -> str:
    return str(folder).rstrip("/") + "/"
