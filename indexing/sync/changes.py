"""What the index holds, compared with what is on disk: unchanged, moved, changed, gone."""

import os
import stat
import threading
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path

from indexing.document import RECORD, Document, document_id, file_of

Row = tuple[str, str]
"""document_id, content_hash"""
Moved = tuple[str, str]
"""The source before, and the document's id."""


class KnownDocuments:
    """The indexed documents by file and by content hash; `known` is DocumentStore.known(): source -> Row."""

    def __init__(self, known: dict[str, Row], outdated: Collection[str] = (), *, reread: bool = False) -> None:
        """`outdated` are sources that an older reader has read; `reread`, they count as changed."""
        self.outdated = outdated
        self._reread = outdated if reread else ()
        self._by_source = known
        self._by_file: defaultdict[str, dict[str, Row]] = defaultdict(dict)
        self._by_hash: defaultdict[str, list[str]] = defaultdict(list)
        """Files with one document, until take_moved() has looked at them."""
        self._taking = threading.Lock()
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

    def hashes(self, path: Path | str) -> dict[str, str]:
        """Source -> content hash of a file's documents that are unchanged if it is the same."""
        return {source: row[1] for source, row in self.of_file(path).items() if source not in self._reread}

    def take_moved(self, path: str, content_hash: str) -> Moved | None:
        """The document of this content whose file is gone, which is the document of `path` from now on.

        One of the same name is preferred, and none is returned twice, on whatever threads.
        """
        name = os.sep + os.path.basename(path)  # noqa: PTH119 (for each of many equal files)
        with self._taking:
            candidates = self._by_hash.get(content_hash, [])
            candidates.sort(key=lambda source: source.endswith(name))
            while candidates:
                before = candidates.pop()
                if Path(before).is_absolute() and is_gone(before):
                    return self._move(before, path)
        return None

    def take_moved_record(self, source: str, content_hash: str, gone: Iterable[str]) -> Moved | None:
        """Likewise the record of this key and content in one of the `gone` files."""
        file = file_of(source)
        for each in gone:
            before = each + source[len(file) :]
            if self._by_file[each].get(before, ("", ""))[1] == content_hash:
                return self._move(before, source)
        return None

    def gone_record_files(self) -> list[str]:
        return [
            file
            for file, rows in self._by_file.items()
            if file not in rows and rows and Path(file).is_absolute() and is_gone(file)
        ]

    def _move(self, before: str, source: str) -> Moved:
        row = self._by_file[file_of(before)].pop(before)
        self._by_source[source] = self._by_file[file_of(source)][source] = row
        del self._by_source[before]
        self._foreign_ids.add(row[0])
        return before, row[0]

    def with_id(self, document: Document) -> Document:
        """The document with the id that its source has in the index, or a new id where a moved document has its own."""
        if row := self._by_source.get(document.source):
            return replace(document, id=row[0])
        if document.id in self._foreign_ids:
            return replace(document, id=document_id(document.source + document.content_hash))
        return document

    def gone(self, roots: Iterable[Path]) -> list[str]:
        """Ids of the documents at and below these roots whose files no longer exist."""
        files = {file for root in roots for file in self._files(root)}
        return [row[0] for file in files if is_gone(file) for row in self._by_file[file].values()]

    def prunable(
        self, roots: Iterable[Path], guarded: Iterable[Path], files: Iterable[Path]
    ) -> tuple[set[str], list[str]]:
        """gone(roots) without those below a guarded folder that would lose more than half of its documents by it.

        Returns a sentence for each such folder, too. `files` were found; each that is new counts as a document.
        """
        going, kept = set(self.gone(roots)), []
        new = [str(file) for file in files if str(file) not in self._by_file]
        for folder in guarded:
            inside = str(folder).rstrip("/") + "/"
            documents = {
                row[0] for file in self._files(folder) if file != str(folder) for row in self._by_file[file].values()
            }
            lost = going & documents
            if 2 * len(lost) > len(documents) + sum(file.startswith(inside) for file in new):
                going -= lost
                kept.append(
                    f"{len(lost):,} of the {len(documents):,} documents below {folder} have no file any more, as where"
                    " a disk is not mounted, and none was removed: if they are to go, run the same with --prune=all"
                )
        return going, kept

    def _files(self, root: Path) -> list[str]:
        inside = str(root).rstrip("/") + "/"
        return [file for file in self._by_file if file == str(root) or file.startswith(inside)]


def is_gone(path: str) -> bool:
    """Whether no file is there, but nothing, a link or a folder. False after "permission denied" or an I/O error."""
    try:
        return not stat.S_ISREG(os.lstat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        pass
    return False
