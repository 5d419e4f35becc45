"""How far a build is, and how it ended."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Failure:
    """A source that was not indexed, and the sentence that says why."""

    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class Progress:
    """Counts so far. Documents and chunks count when they are committed."""

    files: int
    total_files: int
    documents: int
    chunks: int
    tokens: int
    failed: int
    elapsed_s: float
    left_s: float | None
    """None until enough is done to tell."""

    @property
    def tokens_per_s(self) -> float:
        return self.tokens / self.elapsed_s if self.elapsed_s > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Report:
    """What a build did."""

    job: str
    documents: int
    """Added or replaced."""
    chunks: int
    tokens: int
    embedded: int
    """Chunks that were embedded; the others' text was known."""
    unchanged: int
    """Documents that were as they had been."""
    moved: int
    removed: int
    skipped: Mapping[str, int]
    """Files that were passed over, by reason."""
    failures: tuple[Failure, ...]
    elapsed_s: float


@dataclass(slots=True)
class Tally:
    """The counts of a build that is under way."""

    total_files: int = 0
    total_bytes: int = 0
    files: int = 0
    bytes: int = 0
    documents: int = 0
    chunks: int = 0
    waiting: int = 0
    """Chunks that are cut and not yet committed."""
    tokens: int = 0
    unchanged: int = 0
    moved: int = 0
    removed: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def skip(self, reason: str) -> None:
        self.skipped[reason] = self.skipped.get(reason, 0) + 1

    def fail(self, source: str, reason: str) -> None:
        self.failures.append(Failure(source, reason))

    def progress(self) -> Progress:
        elapsed = time.monotonic() - self.began
        share = self._share()
        left = elapsed * (1 - share) / share if share and elapsed > 1 else None
        return Progress(
            self.files, self.total_files, self.documents, self.chunks, self.tokens, len(self.failures), elapsed, left
        )

    def _share(self) -> float:
        """Of the work: bytes that are read, less the part of their chunks that waits."""
        committed = self.chunks / (self.chunks + self.waiting) if self.waiting else 1.0
        return committed * min(self.bytes / self.total_bytes, 1.0) if self.total_bytes else 1.0

    def report(self, job: str, embedded: int) -> Report:
        return Report(
            job=job, documents=self.documents, chunks=self.chunks, tokens=self.tokens, embedded=embedded,
            unchanged=self.unchanged, moved=self.moved, removed=self.removed, skipped=dict(self.skipped),
            failures=tuple(self.failures), elapsed_s=time.monotonic() - self.began,
        )  # fmt: skip
