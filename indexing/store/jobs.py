"""Jobs: what is being indexed, how far it is, and what failed."""

import json
import sqlite3
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from indexing.errors import UnknownJobError
from indexing.store.lock import Lease, is_abandoned

State = Literal["running", "done", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class Job:
    id: str
    kind: str
    state: State
    total: int | None
    """Documents to do; None where that is not known."""
    done: int
    chunks: int
    tokens: int
    message: str
    params: Mapping[str, Any]
    """With which the job can be run again."""
    created: float
    """Seconds since 1970."""
    updated: float
    failures: tuple[tuple[str, str], ...]
    """(source, reason)"""


def copy(source: sqlite3.Connection, target: sqlite3.Connection) -> None:
    """Replace all jobs of the target by those of the source."""
    for table in ("jobs", "job_failures"):
        rows = source.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608 (ours)
        target.execute(f"DELETE FROM {table}")  # noqa: S608
        if rows:
            marks = ", ".join("?" * len(rows[0]))
            target.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)  # noqa: S608


class JobStore(ABC):
    """Keeps jobs as rows of an SQLite file."""

    @abstractmethod
    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def _reading(self) -> AbstractContextManager[sqlite3.Connection]:
        """A transaction that reads the file with the jobs."""

    @abstractmethod
    def _writing_jobs(self) -> AbstractContextManager[sqlite3.Connection]:
        """A transaction that writes jobs, and nothing else."""

    @abstractmethod
    def _lease_path(self, job_id: str) -> Path:
        """The file that is locked while a process runs this job; it need not exist."""

    def _abandoned_leases(self) -> set[Path]:
        """The leases of processes that ended before they released them."""
        leases = self._lease_path("*")
        return {path for path in leases.parent.glob(leases.name) if is_abandoned(path)}

    def job_begin(self, kind: str, total: int | None, params: Mapping[str, Any]) -> tuple[str, Lease]:
        """Create a job that counts as failed if this process ends before it releases the lease."""
        with self._writing_jobs() as connection:
            # Here no other process is between the making of its lease and the locking.
            abandoned = self._abandoned_leases()
            connection.executemany(
                "UPDATE jobs SET state = 'failed', message = ? WHERE state = 'running' AND id = ?",
                [(_INTERRUPTED, path.name.rpartition("-")[2]) for path in abandoned],
            )
            identity = _insert(connection, uuid.uuid4().hex, kind, total, params)
            lease = Lease(self._lease_path(identity))  # before the commit shows the job
        for path in abandoned:
            path.unlink(missing_ok=True)
        return identity, lease

    def job_create(
        self, kind: str, total: int | None = None, params: Mapping[str, Any] | None = None, *, job_id: str = ""
    ) -> str:
        """Create a job, which runs until job_update() ends it. Returns its id: `job_id`, or a new one."""
        with self._writing_jobs() as connection:
            return _insert(connection, job_id or uuid.uuid4().hex, kind, total, params or {})

    def job_update(
        self,
        job_id: str,
        *,
        state: State | None = None,
        total: int | None = None,
        done: int | None = None,
        chunks: int | None = None,
        tokens: int | None = None,
        message: str | None = None,
        failures: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Set what is not None, and add the failures, (source, reason); a job that runs again has none yet.

        Raises UnknownJobError.
        """
        given = {"state": state, "total": total, "done": done, "chunks": chunks, "tokens": tokens, "message": message}
        values = {name: value for name, value in given.items() if value is not None} | {"updated": time.time()}
        columns = ", ".join(f"{name} = ?" for name in values)
        with self._writing_jobs() as connection:
            row = connection.execute(
                f"UPDATE jobs SET {columns} WHERE id = ? RETURNING seq",  # noqa: S608 (ours)
                [*values.values(), job_id],
            ).fetchone()
            if row is None:
                raise _unknown(job_id)
            if state == "running":
                connection.execute("DELETE FROM job_failures WHERE job = ?", row)
            connection.executemany(
                "INSERT OR REPLACE INTO job_failures VALUES (?, ?, ?)",
                [(row[0], source, reason) for source, reason in failures],
            )

    def job(self, job_id: str) -> Job:
        """Raises UnknownJobError."""
        found = self._select_jobs("WHERE id = ?", job_id)
        if not found:
            raise _unknown(job_id)
        return found[0]

    def jobs(self, limit: int = 100) -> list[Job]:
        """The newest jobs first."""
        return self._select_jobs("ORDER BY seq DESC LIMIT ?", limit)

    def _select_jobs(self, clause: str, parameter: str | int) -> list[Job]:
        # The leases first: a job that ends writes its state before it releases its lease.
        abandoned = self._abandoned_leases()
        with self._reading() as connection:
            found = [
                _job(connection, row) for row in connection.execute(f"{_SELECT} {clause}", (parameter,)).fetchall()
            ]
        for at, job in enumerate(found):
            lease = self._lease_path(job.id)
            # Once more, for a job that began in between: its lease is locked before its row is there.
            if job.state == "running" and lease in abandoned and is_abandoned(lease):
                found[at] = replace(job, state="failed", message=_INTERRUPTED)
        return found


_SELECT = "SELECT id, kind, state, total, done, chunks, tokens, message, params, created, updated, seq FROM jobs"
_KEPT = 1000
_INTERRUPTED = "interrupted; the same command goes on with what is left"


def _insert(
    connection: sqlite3.Connection, identity: str, kind: str, total: int | None, params: Mapping[str, Any]
) -> str:
    """Add a job; of those that have ended, the _KEPT newest stay."""
    old = connection.execute(
        "DELETE FROM jobs WHERE state != 'running' AND seq <= (SELECT max(seq) FROM jobs) - ? RETURNING seq", (_KEPT,)
    )
    connection.executemany("DELETE FROM job_failures WHERE job = ?", old.fetchall())
    now = time.time()
    connection.execute(
        "INSERT INTO jobs (id, kind, state, total, done, chunks, tokens, message, params, created, updated)"
        " VALUES (?, ?, 'running', ?, 0, 0, 0, '', ?, ?, ?)",
        (identity, kind, total, json.dumps(dict(params)), now, now),
    )
    return identity


def _job(connection: sqlite3.Connection, row: tuple[Any, ...]) -> Job:
    *_, params, created, updated, seq = row
    failures = connection.execute("SELECT source, reason FROM job_failures WHERE job = ? ORDER BY source", (seq,))
    fields = (*row[:8], json.loads(params), created, updated, tuple(failures.fetchall()))
    return Job(*fields)


def _unknown(job_id: str) -> UnknownJobError:
    return UnknownJobError(f"there is no job {job_id!r}; `ragline jobs` lists them")
