"""A service whose engine breaks for good at its third request: `python dying.py PORT`."""

import sys
from collections.abc import Sequence

import numpy as np
from fastapi import APIRouter

from services.encoder.batcher import Batcher
from services.engines.encoder.interface import Rows, Tokens
from services.http.metrics import Metrics
from services.http.server import Service, create_app, run
from services.settings import ServiceSettings


class Fragile:
    width = 1
    lanes = 2
    best_batch_tokens = 1
    padding_free = False

    def __init__(self) -> None:
        self.left = 3  # the check at the start, and two requests

    def forward(self, inputs: Sequence[Tokens]) -> Rows:
        self.left -= 1
        if self.left < 0:
            raise RuntimeError("device lost")
        return np.ones((len(inputs), 1), dtype=np.float32)

    def close(self) -> None: ...


def main(port: int) -> int:
    one = Tokens(np.ones(1, dtype=np.int64), np.zeros(1, dtype=np.int64))
    metrics = Metrics("fragile")
    batcher = Batcher(Fragile(), probe=one, max_batch_tokens=8, max_queue_tokens=100, metrics=metrics)
    router = APIRouter()

    @router.post("/ask")
    async def ask() -> float:
        return float((await batcher.run([one])).rows[0, 0])

    service = Service("dying", "fragile", "/", 1, batcher, [router], metrics)
    return run(create_app(service, ServiceSettings(port=port, model="fragile")))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
