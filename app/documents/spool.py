"""Keeps submissions on disk from their acknowledgement until their job has ended.

uploads/JOB/submission.json, content        complete: the folder is renamed to this once both files are synced
uploads/.JOB/                               half written or half removed: the next start deletes it
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from indexing.document import Scalar
from indexing.store.database import storage_errors
from indexing.store.disk import fsync


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
    """Blocking; for any thread."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def put(self, submission: Submission, content: bytes) -> Path:
        """Write a submission durably; return its folder. Raises StorageError."""
        folder = self._directory / submission.job_id
        with storage_errors(folder):
            if not self._directory.is_dir():
                self._directory.mkdir(parents=True, exist_ok=True)
                fsync(self._directory.parent)
            half = _hidden(folder)
            half.mkdir()
            for name, data in (("content", content), ("submission.json", json.dumps(asdict(submission)).encode())):
                (half / name).write_bytes(data)
                fsync(half / name)
            fsync(half)
            half.rename(folder)
            fsync(self._directory)
        return folder

    def read(self, folder: Path) -> Submission:
        return Submission(**json.loads((folder / "submission.json").read_text()))

    def remove(self, folder: Path) -> None:
        """Remove a submission; a start sees it whole or not at all."""
        shutil.rmtree(folder.rename(_hidden(folder)))

    def unfinished(self) -> list[Path]:
        """Return the folders of unfinished submissions, oldest first; delete half-written ones."""
        if not self._directory.is_dir():
            return []
        folders = list(self._directory.iterdir())
        for folder in folders:
            if folder.name.startswith("."):
                shutil.rmtree(folder, ignore_errors=True)
        return sorted((each for each in folders if not each.name.startswith(".")), key=lambda f: f.stat().st_mtime)


def _hidden(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}")
