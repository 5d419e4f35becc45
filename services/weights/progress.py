"""Progress of a download: the events, and their display."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

Phase = Literal["waiting", "looking up", "downloading", "verifying", "unpacking", "ready"]


@dataclass(frozen=True, slots=True)
class Transfer:
    """One step of one download. `done` and `total` are bytes; `total` is None where it is unknown."""

    name: str
    phase: Phase
    done: int = 0
    total: int | None = None


OnTransfer = Callable[[Transfer], None]


def ignore_progress(_: Transfer) -> None:
    """An OnTransfer that shows nothing."""


@contextmanager
def show_progress(file: TextIO | None = None) -> Iterator[OnTransfer]:
    """Bars on a terminal, plain lines elsewhere; both on standard error."""
    console = Console(file=file or sys.stderr)
    if not console.is_terminal:
        yield Lines(console)
        return
    bars = Bars(console)
    with bars.progress:
        yield bars


class Bars:
    """A bar for each name, with bytes, speed and time left."""

    def __init__(self, console: Console) -> None:
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, transfer: Transfer) -> None:
        if transfer.name not in self._tasks:
            self._tasks[transfer.name] = self.progress.add_task(transfer.name, total=None)
        task = self._tasks[transfer.name]
        self.progress.update(task, description=f"{transfer.name}: {transfer.phase}")
        if transfer.phase == "downloading":
            self.progress.update(task, completed=transfer.done, total=transfer.total)
        elif transfer.phase == "ready":
            completed = self.progress.tasks[task].completed
            self.progress.update(task, completed=completed or 1, total=completed or 1)


class Lines:
    """A line when the phase changes, and while bytes arrive every few seconds."""

    EVERY_S = 3.0

    def __init__(self, console: Console) -> None:
        self._console = console
        self._phase: dict[str, Phase] = {}
        self._began: dict[str, tuple[float, int]] = {}
        self._told = 0.0

    def __call__(self, transfer: Transfer) -> None:
        now = time.monotonic()
        new = self._phase.get(transfer.name) != transfer.phase
        if not new and (transfer.phase != "downloading" or now - self._told < self.EVERY_S):
            return
        if new:
            self._phase[transfer.name] = transfer.phase
            self._began[transfer.name] = (now, transfer.done)
        self._told = now
        self._console.print(self._line(transfer, now), highlight=False, markup=False, soft_wrap=True)

    def _line(self, transfer: Transfer, now: float) -> str:
        line = f"{transfer.name}: {transfer.phase}"
        if transfer.phase != "downloading":
            return line
        began, had = self._began[transfer.name]
        speed = (transfer.done - had) / (now - began) if now > began else 0.0
        line += f" {transfer.done / 1e6:.1f}"
        if transfer.total:
            line += f" of {transfer.total / 1e6:.1f} MB ({100 * transfer.done // transfer.total}%)"
        else:
            line += " MB"
        if speed > 0:
            line += f", {speed / 1e6:.1f} MB/s"
        if speed > 0 and transfer.total:
            line += f", {(transfer.total - transfer.done) / speed:.0f} s left"
        return line
