"""What the orchestrator adds to the three model calls: `ragline up` over the project's own docs, and questions."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import numpy as np

from bench.serving.report import OURS, Figure, Figures
from services.addresses import read_addresses

ROOT = Path(__file__).parent.parent.parent
QUESTIONS = 20
MODEL_CALLS = ("embed", "rerank", "evidence", "generate")
"""Of the stages in an answer's timings; building the prompt is timed as a part of `generate`."""
STARTUP_S = 120.0


async def ask_figures(logs: Path) -> list[Figures]:
    with _up(logs) as address:
        async with httpx2.AsyncClient(base_url=address, timeout=120) as http:
            added, sources, words = zip(*[await _asked(http, n) for n in range(QUESTIONS)], strict=True)
    return [
        Figures(name, "ms", {OURS: Figure(float(np.median(values)))}, smaller_is_better=True)
        for name, values in (
            ("/ask: all but the model calls, median", added),
            ("/ask: sources are there after, median", sources),
            ("/ask: first word is there after, median", words),
        )
    ]


async def _asked(http: httpx2.AsyncClient, number: int) -> tuple[float, float, float]:
    """ms beside the model calls, to the sources, and to the first words."""
    body = {"question": f"What does setting number {number} of the reranker do?", "stream": True, "max_tokens": 32}
    began = time.perf_counter()
    events: dict[str, float] = {}
    done: dict[str, Any] = {}
    async with http.stream("POST", "/ask", json=body, headers={"Cache-Control": "no-cache"}) as answer:
        answer.raise_for_status()
        async for line in answer.aiter_lines():
            if line.startswith("event: "):
                events.setdefault(line[7:], (time.perf_counter() - began) * 1000)
            elif line.startswith("data: ") and "done" in events:
                done = json.loads(line[6:])
    wall = (time.perf_counter() - began) * 1000
    stages = done["timings_ms"]
    calls = sum(stages.get(name, 0.0) for name in MODEL_CALLS) - stages.get("prompt", 0.0)
    return wall - calls, events["sources"], events["delta"]


@contextmanager
def _up(logs: Path) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        ports = {f"RAGLINE_{name}__PORT": "0" for name in ("EMBED", "SCORE", "GENERATE", "SERVER")}
        env = {**os.environ, **ports, "RAGLINE_DATA_DIR": folder}
        command = [sys.executable, "-m", "app"]
        with (logs / "up.log").open("ab") as log:
            up = subprocess.Popen([*command, "up"], env=env, stdout=log, stderr=log)
        try:
            until = time.monotonic() + STARTUP_S
            while not (addresses := read_addresses(Path(folder))):
                if time.monotonic() > until or up.poll() is not None:
                    raise SystemExit((logs / "up.log").read_text())
                time.sleep(0.1)
            subprocess.run([*command, "index", str(ROOT / "docs"), str(ROOT / "README.md")], env=env, check=True)
            yield addresses["server"]
        finally:
            up.send_signal(signal.SIGINT)
            up.wait(60)
