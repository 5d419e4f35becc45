"""A build's row in the store, which `ragline jobs` and GET /jobs/{id} read."""

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from indexing.store.jobs import State
from indexing.store.lock import Lease
from indexing.sync.pipeline import Stages
from indexing.sync.progress import Tally


class Job:
    """`async with` opens it as running and closes it as done, failed or cancelled; killed, it is shown as failed."""

    def __init__(self, stages: Stages, kind: str, tally: Tally, params: Mapping[str, Any]) -> None:
        self._stages = stages
        self._kind = kind
        self._tally = tally
        self._params = params
        self._failures = 0
        self.id = ""
        self._held: Lease | None = None

    async def __aenter__(self) -> Self:
        store = self._stages.store
        self.id, self._held = await self._stages.write(
            store.job_begin, self._kind, self._tally.total_files, self._params
        )
        return self

    async def tell(self, *, state: State | None = None, message: str | None = None) -> None:
        """Write how far it is."""
        new = self._tally.failures[self._failures :]
        self._failures = len(self._tally.failures)
        await self._stages.write(
            self._stages.store.job_update,
            self.id,
            done=self._tally.files,
            chunks=self._tally.chunks,
            tokens=self._tally.tokens,
            failures=[(failure.source, failure.reason) for failure in new],
            state=state,
            message=message,
        )

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            await self.tell(state="done")
        elif isinstance(error, asyncio.CancelledError):
            await self.tell(state="cancelled", message="stopped; the same command goes on with what is left")
        else:
            await self.tell(state="failed", message=str(error))
        if self._held is not None:
            await self._stages.blocking(self._held.release)
