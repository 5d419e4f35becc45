"""Keeps the files that came by the OpenAI API, until they are deleted.

files/ID/file.json, content    complete: the folder is renamed to this once both files are synced
"""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from indexing.store.database import storage_errors
from indexing.store.disk import make_folder
from services.disk import fsync
from services.errors import NotFoundError


@dataclass(frozen=True, slots=True)
class File:
    id: str
    name: str
    purpose: str
    size: int
    """In bytes."""
    created: int
    """Seconds since 1970."""
    jobs: Mapping[str, str] = field(default_factory=dict)
    """Collection -> the job that indexes it there."""


class Files:
    """Blocking; for any thread."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def keep(self, file: File, content: Path) -> None:
        """Take a content that was received in the spool. Raises StorageError."""
        half = content.parent
        with storage_errors(self._directory):
            make_folder(self._directory)
            fsync(content)
            self._write(half, file)
            half.rename(self._directory / file.id)
            fsync(self._directory)

    def get(self, file_id: str) -> File:
        """Raises NotFoundError."""
        try:
            return File(**json.loads((self._folder(file_id) / "file.json").read_text()))
        except FileNotFoundError as exc:
            raise NotFoundError(f"there is no file {file_id[:80]!r}", param="file_id") from exc

    def all(self) -> Sequence[File]:
        """Return the files, the oldest first."""
        names = [each.name for each in self._directory.iterdir()] if self._directory.is_dir() else []
        return sorted((self.get(name) for name in names if name[0] != "."), key=lambda file: (file.created, file.id))

    def content(self, file_id: str) -> Path:
        self.get(file_id)
        return self._folder(file_id) / "content"

    def copy(self, file_id: str, content: Path) -> None:
        """Give a file's content to the spool. Raises NotFoundError, StorageError."""
        source = self.content(file_id)
        with storage_errors(content):
            os.link(source, content)

    def attached(self, file_id: str, collection: str, job_id: str) -> None:
        """Note the job that indexes a file. Raises NotFoundError, StorageError."""
        file = self.get(file_id)
        with storage_errors(self._directory):
            self._write(self._folder(file_id), replace(file, jobs={**file.jobs, collection: job_id}))

    def delete(self, file_id: str) -> None:
        """Raises NotFoundError, StorageError."""
        self.get(file_id)
        hidden = self._directory / f".{file_id}"
        with storage_errors(self._directory):
            self._folder(file_id).rename(hidden)
            fsync(self._directory)
            shutil.rmtree(hidden, ignore_errors=True)

    def _folder(self, file_id: str) -> Path:
        """Ids are ours: letters, digits and -; others name no file."""
        return self._directory / (file_id if file_id.replace("-", "").isalnum() else "-")

    @staticmethod
    def _write(folder: Path, file: File) -> None:
        half = folder / "file.json.new"
        half.write_text(json.dumps(asdict(file)))
        fsync(half)
        half.rename(folder / "file.json")
        fsync(folder)
