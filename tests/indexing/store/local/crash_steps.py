"""Creates a collection, or promotes a finished successor:
`python -m tests.indexing.store.local.crash_steps create|promote PATH COPIES`.

In copies of the folder, each time killed a step later; a step is a name that is made, moved or removed. The last
copy is the one in which nothing was killed.
"""

import itertools
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

from indexing.store.local import Store
from tests.indexing.made import MANIFEST, OTHER

_STEPS = ("os.rename", "os.remove", "os.rmdir", "shutil.rmtree")


def kill_after(steps: int) -> None:
    left = steps

    def step(event: str, args: tuple[Any, ...]) -> None:
        nonlocal left
        if event in _STEPS or (event == "open" and isinstance(args[2], int) and args[2] & os.O_CREAT):
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1

    sys.addaudithook(step)


def create(path: Path, steps: int) -> None:
    kill_after(steps)
    Store.create_or_open(path, MANIFEST).close()


def promote(path: Path, steps: int) -> None:
    with Store.open(path) as store:
        successor = store.successor(OTHER)
        kill_after(steps)
        assert store.promote(successor)


def main() -> None:
    run, path, copies = {"create": create, "promote": promote}[sys.argv[1]], Path(sys.argv[2]), Path(sys.argv[3])
    for steps in itertools.count():
        copy = shutil.copytree(path, copies / f"{steps:03}")
        if (child := os.fork()) == 0:
            run(copy, steps)
            os._exit(0)
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
            return


if __name__ == "__main__":
    main()
