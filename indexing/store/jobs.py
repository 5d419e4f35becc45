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
from typing import Any, Literal

from indexing.errors import UnknownJobError
from indexing.store.lock import Lease, is_abandoned

State = Literal["running", "done", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class Job:
    id: str
    kind: str
    state: State
    total: int | None
    """Documents to do, where that is known."""
    done: int
    chunks: int
    tokens: int
    message: str
    params: Mapping[str, Any]
    """What it takes to do it again."""
    created: float
    """Seconds since 1970."""
    updated: float
    failures: tuple[tuple[str, str], ...]
    """(source, reason)"""


def create(connection: sqlite3.Connection, kind: str, total: int | None, params: Mapping[str, Any]) -> str:
    identity, now = uuid.uuid4().hex, time.time()
    connection.execute(
        "INSERT INTO jobs (id, kind, state, total, done, chunks, tokens, message, params, created, updated)"
        " VALUES (?, ?, 'running', ?, 0, 0, 0, '', ?, ?, ?)",
        (identity, kind, total, json.dumps(dict(params)), now, now),
    )
    return identity


def copy(source: sqlite3.Connection, target: sqlite3.Connection) -> None:
    """All jobs of one database, in the place of those of another."""
    for table in ("jobs", "job_failures"):
        rows = source.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608 (ours)
        target.execute(f"DELETE FROM {table}")  # noqa: S608
        if rows:
            marks = ", ".join("?" * len(rows[0]))
            target.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)  # noqa: S608


def update(
    connection: sqlite3.Connection, identity: str, values: Mapping[str, Any], failures: Sequence[tuple[str, str]]
) -> bool:
    """Sets what is given, and adds the failures. Whether there is such a job."""
    names = ", ".join(f"{name} = ?" for name in [*values, "updated"])
    row = connection.execute(
        f"UPDATE jobs SET {names} WHERE id = ? RETURNING seq",  # noqa: S608 (names of columns, ours)
        [*values.values(), time.time(), identity],
    ).fetchone()
    if row is None:
        return False
    connection.executemany(
        "INSERT OR REPLACE INTO job_failures VALUES (?, ?, ?)",
        [(row[0], source, reason) for source, reason in failures],
    )
    return True


_JOB = "SELECT id, kind, state, total, done, chunks, tokens, message, params, created, updated, seq FROM jobs"


def one(connection: sqlite3.Connection, identity: str) -> Job | None:
    row = connection.execute(f"{_JOB} WHERE id = ?", (identity,)).fetchone()
    return None if row is None else _job(connection, row)


def newest(connection: sqlite3.Connection, limit: int) -> list[Job]:
    rows = connection.execute(f"{_JOB} ORDER BY seq DESC LIMIT ?", (limit,)).fetchall()
    return [_job(connection, row) for row in rows]


def _job(connection: sqlite3.Connection, row: tuple[Any, ...]) -> Job:
    *_, params, created, updated, seq = row
    failures = connection.execute("SELECT source, reason FROM job_failures WHERE job = ? ORDER BY source", (seq,))
    fields = (*row[:8], json.loads(params), created, updated, tuple(failures.fetchall()))
    return Job(*fields)


class KeepsJobs(ABC):
    """What every store has for its jobs, which are rows of an SQLite file."""

    @abstractmethod
    def _reading(self) -> AbstractContextManager[sqlite3.Connection]: ...

    @abstractmethod
    def _noting(self) -> AbstractContextManager[sqlite3.Connection]:
        """For rows that no index follows."""

    @abstractmethod
    def _held(self, job_id: str) -> Path:
        """The file that who runs this job holds; may not be there."""

    def job_begin(self, kind: str, total: int | None, params: Mapping[str, Any]) -> tuple[str, Lease]:
        """A job that ends with this process: shown as failed if that is gone before the job is released."""
        with self._noting() as connection:
            identity = create(connection, kind, total, params)
            return identity, Lease(self._held(identity))  # before anybody can see the job

    def job_create(self, kind: str, total: int | None = None, params: Mapping[str, Any] | None = None) -> str:
        with self._noting() as connection:
            return create(connection, kind, total, params or {})

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
        """Sets what is given; failures, (source, reason), are added. Raises UnknownJobError."""
        given = {"state": state, "total": total, "done": done, "chunks": chunks, "tokens": tokens, "message": message}
        values = {name: value for name, value in given.items() if value is not None}
        with self._noting() as connection:
            if not update(connection, job_id, values, failures):
                raise _no_job(job_id)

    def job(self, job_id: str) -> Job:
        """Raises UnknownJobError."""
        abandoned = self._abandoned()
        with self._reading() as connection:
            found = one(connection, job_id)
        if found is None:
            raise _no_job(job_id)
        return self._as_it_is(found, abandoned)

    def jobs(self, limit: int = 100) -> list[Job]:
        """Newest first."""
        abandoned = self._abandoned()
        with self._reading() as connection:
            found = newest(connection, limit)
        return [self._as_it_is(job, abandoned) for job in found]

    def _abandoned(self) -> set[Path]:
        """To be asked before the rows: a job that ends is noted there before it is released."""
        every = self._held("*")
        return {path for path in every.parent.glob(every.name) if is_abandoned(path)}

    def _as_it_is(self, job: Job, abandoned: set[Path]) -> Job:
        if job.state != "running" or self._held(job.id) not in abandoned:
            return job
        return replace(job, state="failed", message="interrupted; the same command goes on with what is left")


def _no_job(job_id: str) -> UnknownJobError:
    return UnknownJobError(f"there is no job {job_id!r}; `ragline jobs` lists them")
