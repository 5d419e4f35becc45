"""All that is asked of the torch engine on one GPU, measured in one call. Prints one Markdown table.

    python -m bench.gpu                       one NVIDIA GPU, `pip install -e '.[gpu]'`; about 4 minutes
    python -m bench.gpu --device cpu --small  tiny shapes, to try the script itself
    python -m bench.gpu --only generate

Weights are random and everything is made here, so no hub is needed; about 6 GB under --folder, which are used again.
Against sentence-transformers only where it is installed.
"""

import argparse
import contextlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch

from bench.gpu.encoders import encoder_rows
from bench.gpu.generate import generate_rows
from bench.gpu.report import Row, markdown
from bench.gpu.run import Run
from bench.gpu.served import served_rows

PARTS: dict[str, Callable[[Run], Iterator[Row]]] = {
    "encoders": encoder_rows,
    "served": served_rows,
    "generate": generate_rows,
}


def measured(run: Run, parts: list[str]) -> list[Row]:
    """A part that breaks takes only its own rows with it. Nothing is asked of tiny shapes."""
    rows = []
    for part in parts:
        try:
            for row in PARTS[part](run):
                rows.append(replace(row, asked=None) if run.small else row)
                print("  ", *rows[-1].cells(), sep=" | ", flush=True)
        except Exception as exc:  # noqa: BLE001 - what was measured before it is kept
            rows.append(Row(f"{part} broke: {type(exc).__name__}: {exc}", 0, "", asked=1))
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--dtype", choices=("float16", "bfloat16", "float32"), help="of encoders; float16 on CUDA")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--folder", type=Path, help="where the checkpoints are, or will be")
    parser.add_argument("--only", action="append", choices=PARTS)
    options = parser.parse_args()
    dtype = options.dtype or ("float16" if options.device == "cuda" else "float32")
    with contextlib.ExitStack() as stack:
        folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        run = Run(torch.device(options.device), dtype, folder, options.small)
        rows = measured(run, options.only or list(PARTS))
    print(f"\n{markdown(rows, run.device)}")
    return sum(row.met is False for row in rows)


if __name__ == "__main__":
    raise SystemExit(main())
