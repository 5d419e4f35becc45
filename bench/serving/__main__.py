"""One table: ours, each peer and the engine alone, on the same work and machine, in one run.

    python -m bench.serving                                        ours, and the engine's own limit
    python -m bench.serving --peer ../shared/tools/peer --models MODELS
    python -m bench.serving --task score --url vllm=http://127.0.0.1:8100

Of each task all servers are up at once and take turns, so that a noisy machine is noisy for all; a figure is the median
of the rounds. `--write` puts the report into docs/benchmarks.md and its picture into docs/images.
"""

import argparse
import asyncio
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path

import numpy as np

from bench.serving.ask import ask_figures
from bench.serving.contenders import Contender, Peers, Task, ours, peer
from bench.serving.limits import limits
from bench.serving.report import LIMIT, Figure, Figures, markdown, write
from bench.serving.texts import Texts
from bench.serving.workloads import MEASURES, OURS_ONCE, WARM_UPS, Measure

TASKS: tuple[Task, ...] = ("score", "embed", "generate")


async def figures_of(task: Task, peers: Peers, rounds: int, logs: Path) -> list[Figures]:
    async with _contenders(task, peers, logs) as contenders:
        for contender in contenders:
            await WARM_UPS[task](contender, Texts(seed=-1))
        found = [await _measured(measure, contenders, rounds) for measure in MEASURES[task]]
        found += [await _measured(measure, contenders[:1], 1) for measure in OURS_ONCE[task]]
        return [*found, *_footprints(task, contenders)]


@asynccontextmanager
async def _contenders(task: Task, peers: Peers, logs: Path) -> AsyncIterator[list[Contender]]:
    with ExitStack() as servers:
        starts = [ours(task, logs / "ragline.log")]
        starts += [peer(name, task, peers, logs / f"{name}.log") for name in peers.names(task)]
        contenders = [servers.enter_context(start) for start in starts]
        async with AsyncExitStack() as clients:
            for contender in contenders:
                await clients.enter_async_context(contender.http)
            yield contenders


async def _measured(measure: Measure, contenders: Sequence[Contender], rounds: int) -> Figures:
    taken: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for number in range(rounds):
        for contender in contenders:
            value = await measure.run(contender, Texts(seed=number))
            taken[contender.name].append(value)
            print(f"  {measure.name:48} {contender.name:10} {value:9.1f} {measure.unit}", flush=True)
    values = {name: Figure(float(np.median(run))) for name, run in taken.items()}
    return Figures(measure.name, measure.unit, values, smaller_is_better=measure.smaller_is_better)


def _footprints(task: Task, contenders: Sequence[Contender]) -> list[Figures]:
    own = [contender for contender in contenders if contender.pid is not None]
    memory = {contender.name: Figure(contender.memory_mb or 0.0) for contender in own}
    ready = {contender.name: Figure(contender.ready_s or 0.0) for contender in own}
    return [
        Figures(f"{task}: memory after the work", "MB", memory, smaller_is_better=True),
        Figures(f"{task}: ready, weights cached", "s", ready, smaller_is_better=True),
    ]


def add_limits(task: Task, found: Sequence[Figures], rounds: int) -> None:
    """The engine alone, after the servers are gone."""
    for name, limit in limits(task).items():
        values = [limit(Texts(seed=number)) for number in range(rounds)]
        figures = next(figures for figures in found if figures.name == name)
        figures.values[LIMIT] = Figure(float(np.median([rate for rate, _ in values])), max(values)[1])
        print(f"  {name:48} {LIMIT:10} {figures.values[LIMIT].value:9.1f} {figures.unit}", flush=True)


async def main(options: argparse.Namespace) -> None:
    peers = Peers(options.peer, options.models, dict(url.split("=", 1) for url in options.url))
    found: list[Figures] = []
    with tempfile.TemporaryDirectory() as logs:
        for task in options.task or TASKS:
            of_task = await figures_of(task, peers, options.rounds, Path(logs))
            add_limits(task, of_task, options.rounds)
            found += of_task
        if not options.task:
            found += await ask_figures(Path(logs))
    print(markdown(found))
    if options.write:
        write(found, options.write, "make bench")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", action="append", choices=TASKS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer", type=Path, help="the script that serves the peers")
    parser.add_argument("--models", type=Path, help="the folder that its `models` made")
    parser.add_argument("--url", action="append", default=[], metavar="NAME=URL", help="a server that already runs")
    parser.add_argument("--write", type=Path, metavar="DOCS", help="put the report into this folder")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # and the servers with it
    asyncio.run(main(parser.parse_args()))
