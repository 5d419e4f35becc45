"""The job row of a run, which `ragline jobs` and GET /jobs/{id} show."""

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from indexing.store.jobs import State
from indexing.store.lock import Lease
from indexing.sync.pipeline import Stages
from indexing.sync.progress import Tally


class RunningJob:
    """`async with` adds the row as running and ends it as done, cancelled or failed.

    A lock is held meanwhile: a process that is killed releases it, and the job is then shown as failed.
    """

    def __init__(self, stages: Stages, kind: str, tally: Tally, params: Mapping[str, Any]) -> None:
        self.stages = stages
        self._kind = kind
        self.tally = tally
        self._params = params
        self._written_failures = 0
        self.id = ""
        self._held: Lease | None = None

    async def __aenter__(self) -> Self:
        begin = self.stages.store.job_begin
        self.id, self._held = await self.stages.write(begin, self._kind, self.tally.total_files, self._params)
        return self

    async def update(self, *, state: State | None = None, message: str | None = None) -> None:
        """Write the counts and the failures since the last update."""
        new = self.tally.failures[self._written_failures :]
        self._written_failures = len(self.tally.failures)
        await self.stages.write(
            self.stages.store.job_update,
            self.id,
            done=self.tally.files,
            chunks=self.tally.chunks,
            tokens=self.tally.tokens,
            failures=[(failure.source, failure.reason) for failure in new],
            state=state,
            message=message,
        )

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            messages = (*self.tally.kept, self.tally.omissions(), self.tally.skipped_message())
            await self.update(state="done", message="; ".join(filter(None, messages)) or None)
        elif isinstance(error, asyncio.CancelledError):
            await self.update(state="cancelled", message="stopped; the same command goes on with what is left")
        else:
            await self.update(state="failed", message=str(error))
        if self._held is not None:
            await self.stages.in_thread(self._held.release)
