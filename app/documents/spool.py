"""Keeps submissions on disk from their acknowledgement until they are indexed, replaced or deleted.

uploads/NUMBER-JOB/submission.json, content    complete: the folder is renamed to this once both files are synced
uploads/.*/                                    being received, or half removed: the next start deletes it

The numbers rise in the order of the acknowledgements, whatever the clock says.
"""

import json
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from indexing.document import Scalar
from indexing.store.database import storage_errors
from indexing.store.disk import make_folder
from services.disk import fsync


@dataclass(frozen=True, slots=True)
class Submission:
    """A document to index: an upload (`name` is the file's) or a text (`name` is its URL, or empty)."""

    collection: str
    document_id: str
    name: str
    title: str
    is_text: bool
    metadata: Mapping[str, Scalar] = field(default_factory=dict)
    job_id: str = ""


class Spool:
    """Blocking; for any thread, but add() for one at a time."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._last = 0

    def receive(self) -> Path:
        """Return a path to write a content to, for add() or discard(). Raises StorageError."""
        folder = self._directory / f".{uuid.uuid4().hex}"
        with storage_errors(folder):
            make_folder(self._directory)
            folder.mkdir()
        return folder / "content"

    def discard(self, content: Path) -> None:
        """Delete a received content, unless add() has taken it."""
        shutil.rmtree(content.parent, ignore_errors=True)

    def sync(self, content: Path) -> None:
        """Make a received content durable. Raises StorageError."""
        with storage_errors(content):
            fsync(content)

    def add(self, submission: Submission, content: Path) -> Path:
        """Make a submission with its received content durable, after all others. Raises StorageError."""
        self._last += 1
        half, folder = content.parent, self._directory / f"{self._last:012d}-{submission.job_id}"
        with storage_errors(folder):
            (half / "submission.json").write_text(json.dumps(asdict(submission)))
            fsync(half / "submission.json")
            fsync(half)
            half.rename(folder)
            fsync(self._directory)
        return folder

    def read(self, folder: Path) -> Submission:
        return Submission(**json.loads((folder / "submission.json").read_text()))

    def remove(self, folder: Path) -> None:
        """Remove a submission durably; a start sees it whole or not at all. Raises StorageError."""
        hidden = folder.with_name(f".{folder.name}")
        with storage_errors(folder):
            if folder.exists():
                folder.rename(hidden)
                fsync(self._directory)
            shutil.rmtree(hidden, ignore_errors=True)

    def unfinished(self) -> list[Path]:
        """Return the folders of unfinished submissions in the order they came; delete half-written ones."""
        if not self._directory.is_dir():
            return []
        folders = list(self._directory.iterdir())
        for folder in folders:
            if folder.name.startswith("."):
                shutil.rmtree(folder, ignore_errors=True)
        kept = sorted((each for each in folders if not each.name.startswith(".")), key=_order)
        self._last = max([self._last, *(_order(each)[0] for each in kept)])
        return kept


def _order(folder: Path) -> tuple[int, float]:
    """By number; the folders of releases before 0.3 have none, and come first, by their time."""
    number, dash, _ = folder.name.partition("-")
    return int(number) if dash and number.isdecimal() else 0, folder.stat().st_mtime
