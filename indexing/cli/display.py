"""The progress of a run: a bar on a terminal, else a line every few seconds; and the summary at the end."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn
from rich.progress import Progress as Bar

from indexing.sync.progress import Progress, Report

_LINE_EVERY_S = 5.0
_LISTED_FAILURES = 20


class Display:
    """Shows progress within `with`; `show` is the on_progress callback of Indexer.sync."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: Bar | None = None
        self._task = TaskID(0)
        self._printed = time.monotonic()

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bar = Bar(
                TextColumn("Indexing"), BarColumn(), MofNCompleteColumn(), TextColumn("files"),
                TextColumn("{task.fields[counts]}"), console=self._console, transient=True,
            )  # fmt: skip
            self._task = self._bar.add_task("", total=None, counts="")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    @property
    def show(self) -> Callable[[Progress], None]:
        return self._update_bar if self._bar is not None else self._print_line

    def _update_bar(self, progress: Progress) -> None:
        if self._bar is not None:
            self._bar.update(self._task, total=progress.total_files, completed=progress.files, counts=_counts(progress))

    def _print_line(self, progress: Progress) -> None:
        if time.monotonic() - self._printed >= _LINE_EVERY_S:
            self._printed = time.monotonic()
            line = f"{progress.files} of {progress.total_files} files, {_counts(progress)}"
            self._console.print(line, highlight=False, soft_wrap=True)


def _counts(progress: Progress) -> str:
    parts = [
        counted(progress.documents, "document"),
        f"{progress.chunks:,} of {counted(progress.total_chunks, 'chunk')}",
        f"{progress.tokens_per_s:,.0f} tokens/s",
    ]  # fmt: skip
    if progress.failed:
        parts.append(f"{progress.failed} failed")
    if progress.left_s is not None:
        parts.append(f"{duration(progress.left_s)} left")
    return ", ".join(parts)


def counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def summarize(console: Console, report: Report, collection: str) -> None:
    """Print what was indexed, what was skipped, and the failures with their reasons."""
    done = [f"{counted(report.documents, 'document')} ({counted(report.chunks, 'chunk')}) indexed"]
    for count, what in ((report.unchanged, "unchanged"), (report.moved, "moved"), (report.removed, "removed")):
        if count:
            done.append(f"{count:,} {what}")
    console.print(f"{', '.join(done)} in {duration(report.elapsed_s)}; collection {collection!r}.", highlight=False)
    if report.skipped:
        skipped = ", ".join(f"{count:,} {reason}" for reason, count in sorted(report.skipped.items()))
        console.print(f"[dim]Skipped: {escape(skipped)}.[/]", highlight=False)
    older = f"{counted(report.outdated, 'document')} read by an older reader: --reread reads them anew"
    for sentence in (*report.kept, *([older] if report.outdated else [])):
        console.print(f"[yellow]{escape(sentence)}.[/]", highlight=False, soft_wrap=True)
    for each in report.omitted[:_LISTED_FAILURES]:
        console.print(f"[yellow]{escape(each.source)}: not read: {escape(each.reason)}[/]", highlight=False)
    for each in report.passed_over:
        console.print(f"[dim]  {escape(each.source)}: {escape(each.reason)}[/]", highlight=False, soft_wrap=True)
    if report.failures:
        console.print(f"[yellow]{len(report.failures):,} could not be read:[/]", highlight=False)
        for failure in report.failures[:_LISTED_FAILURES]:
            console.print(f"  {escape(failure.source)}: {escape(failure.reason)}", highlight=False, soft_wrap=True)
        if len(report.failures) > _LISTED_FAILURES:
            console.print(f"  … and {len(report.failures) - _LISTED_FAILURES:,} more: `ragline jobs show {report.job}`")
