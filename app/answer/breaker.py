"""Skips a service that keeps failing, so that a question does not wait for it in vain.

After FAILURES in a row a service is left alone for PAUSE_S. Then one caller asks its health and, where that is well,
tries it; meanwhile the others go on without it.
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.client import ServiceClient
from services.errors import RaglineError, UnavailableError

FAILURES = 3
PAUSE_S = 5.0
PROBE_S = 1.0


class Breaker:
    """A circuit breaker. A failure is a service that cannot be reached, drains or takes too long.

    One that answers, if only with an error, costs no time.
    """

    def __init__(self, client: ServiceClient) -> None:
        self._client = client
        self._failures = 0
        self._resumes_at = 0.0
        self._probing = False

    @asynccontextmanager
    async def guard(self, *, allowed: int = FAILURES, resets: bool = True) -> AsyncIterator[None]:
        """Count how the calls inside end; raise UnavailableError instead of making them while the circuit is open.

        It opens after `allowed` failures. `resets`: the calls reach the service for sure, so that their success counts.
        """
        probes = self._failures >= allowed
        if probes and (self._probing or time.monotonic() < self._resumes_at):
            raise self._skipped()
        self._probing = self._probing or probes
        try:
            if probes and not await self._client.healthy(timeout_s=PROBE_S):
                raise self._skipped()
            yield
        except UnavailableError:
            self._failures += 1
            self._resumes_at = time.monotonic() + PAUSE_S
            raise
        except RaglineError:
            self._failures = 0
            raise
        else:
            self._failures = 0 if resets else self._failures
        finally:
            self._probing = self._probing and not probes

    def _skipped(self) -> UnavailableError:
        return UnavailableError(
            f"the {self._client.role} service failed {self._failures} times in a row, and is left alone for a moment"
        )
