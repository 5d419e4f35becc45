"""What one call measures on, and the servers that it starts."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import httpx2
import torch

STARTUP_S = 300.0
STOP_S = 60.0


@dataclass(frozen=True, slots=True)
class Run:
    """dtype: of encoders, ours and theirs; small: tiny shapes, to try the script itself."""

    device: torch.device
    dtype: str
    folder: Path
    small: bool

    @property
    def threads(self) -> int:
        return os.cpu_count() or 1

    @contextmanager
    def served(self, folder: Path, task: Literal["embed", "score", "generate"]) -> Iterator[httpx2.Client]:
        """Our service of a checkpoint, healthy."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        dtype = "auto" if task == "generate" else self.dtype
        command = [sys.executable, "-m", "services", "serve", str(folder), "--task", task, "--port", str(port)]
        command += ["--engine", "torch", "--device", self.device.type, "--dtype", dtype]
        log = self.folder / f"{task}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(command, stdout=out, stderr=out)
        try:
            with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=600) as client:
                _wait(process, client, log)
                yield client
        finally:
            process.terminate()
            process.wait(STOP_S)


def _wait(process: subprocess.Popen[bytes], client: httpx2.Client, log: Path) -> None:
    until = time.monotonic() + STARTUP_S
    while time.monotonic() < until and process.poll() is None:
        try:
            if client.get("/health").is_success:
                return
        except httpx2.TransportError:
            time.sleep(0.1)
    raise SystemExit(f"the service did not start:\n{log.read_text(errors='replace')[-4000:]}")
