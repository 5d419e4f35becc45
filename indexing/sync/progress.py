"""The counts of a run: while it goes on, and in its report."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from indexing.read.sources import NAMED_FILES

_LISTED = 100
"""Documents that were not read whole, in the job's row."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A source that was not indexed, and the sentence that says why."""

    source: str
    reason: str
    by_service: bool = False
    """The embed service works and failed on this text: another try may succeed."""


@dataclass(frozen=True, slots=True)
class Progress:
    files: int
    total_files: int
    documents: int
    """Committed."""
    chunks: int
    """With a vector."""
    total_chunks: int
    """Of the files that have been read."""
    failed: int
    elapsed_s: float
    tokens_per_s: float
    left_s: float | None
    """None while there is too little to estimate from."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a run did."""

    job: str
    documents: int
    """Added or replaced."""
    chunks: int
    tokens: int
    embedded: int
    """Chunks that were embedded; the vectors of the others were in the store."""
    unchanged: int
    """Documents."""
    outdated: int
    """Of them, those that an older reader has read."""
    moved: int
    removed: int
    skipped: Mapping[str, int]
    """Files that were not read, by reason."""
    passed_over: tuple[Failure, ...]
    """The first of them."""
    failures: tuple[Failure, ...]
    omitted: tuple[Failure, ...]
    """Documents that were indexed, and what of them was not read."""
    kept: tuple[str, ...]
    """For each folder where nothing was pruned, for too much would have gone, the sentence that says so."""
    elapsed_s: float


@dataclass(slots=True)
class Tally:
    """Counts so far; documents, chunks and tokens are those that are committed."""

    total_files: int = 0
    total_bytes: int = 0
    files: int = 0
    bytes: int = 0
    documents: int = 0
    chunks: int = 0
    tokens: int = 0
    pending_chunks: int = 0
    """Parsed, and not yet committed."""
    pending_tokens: int = 0
    embedded: int = 0
    """Chunks whose text was new."""
    unchanged: int = 0
    outdated: int = 0
    moved: int = 0
    removed: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    passed_over: list[Failure] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    omitted: list[Failure] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def skip(self, kind: str, source: str, reason: str) -> None:
        """Count a file that is passed over; the first NAMED_FILES are named, too."""
        self.skipped[kind] = self.skipped.get(kind, 0) + 1
        self.name_skipped([(source, reason)])

    def name_skipped(self, files: Iterable[tuple[str, str]]) -> None:
        named = [Failure(_printable(source), _printable(reason)) for source, reason in files]
        self.passed_over += named[: NAMED_FILES - len(self.passed_over)]

    def skipped_message(self) -> str:
        """The files that were passed over, each with its reason on a line; "" without any."""
        lines = [f"  {each.source}: {each.reason}" for each in self.passed_over]
        return "\n".join(["passed over:", *lines]) if lines else ""

    def fail(self, source: str, reason: str, *, by_service: bool = False) -> None:
        """A failure is stored and printed: what UTF-8 cannot encode becomes an escape such as \\udce9."""
        self.failures.append(Failure(_printable(source), _printable(reason), by_service))

    def omit(self, source: str, what: Sequence[str]) -> None:
        """Note what a document holds and its text does not; nothing where that is all of it."""
        if what:
            self.omitted.append(Failure(_printable(source), _printable(", ".join(what))))

    def omissions(self) -> str:
        """The documents that were not read whole, for the job's row; "" without any."""
        if not self.omitted:
            return ""
        listed = "; ".join(f"{each.source}: {each.reason}" for each in self.omitted[:_LISTED])
        more = f"; and {len(self.omitted) - _LISTED:,} more documents" if len(self.omitted) > _LISTED else ""
        return f"not read: {listed}{more}"

    def progress(self) -> Progress:
        elapsed = time.monotonic() - self.began
        total_chunks = self.chunks + self.pending_chunks
        chunks = min(max(self.chunks, self.embedded), total_chunks)
        done = chunks / total_chunks if total_chunks else 1.0
        share = done * min(self.bytes / self.total_bytes, 1.0) if self.total_bytes else 1.0
        return Progress(
            self.files, self.total_files, self.documents, chunks, total_chunks, len(self.failures), elapsed,
            tokens_per_s=done * (self.tokens + self.pending_tokens) / elapsed if elapsed else 0.0,
            left_s=elapsed * (1 - share) / share if share and elapsed > 1 else None,
        )  # fmt: skip

    def report(self, job: str) -> Report:
        return Report(
            job=job, documents=self.documents, chunks=self.chunks, tokens=self.tokens, embedded=self.embedded,
            unchanged=self.unchanged, outdated=self.outdated, moved=self.moved, removed=self.removed,
            skipped=dict(self.skipped), passed_over=tuple(self.passed_over), failures=tuple(self.failures),
            omitted=tuple(self.omitted), kept=tuple(self.kept), elapsed_s=time.monotonic() - self.began,
        )  # fmt: skip


def _printable(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()
