"""Writes to a store at random until it is killed:
`python -m tests.indexing.store.local.crash_writer PATH JOURNAL SEED`.

Each step goes to the journal before it begins, and "ok" when it was acknowledged.
"""

import json
import random
import sys
from pathlib import Path
from typing import Any

from indexing.store.interface import Item
from indexing.store.local import Store
from tests.indexing.made import item

Step = dict[str, Any]
State = dict[str, tuple[int, str]]
"""Document id -> version, source."""

IDS = 60


def document(identity: str, version: int, source: str) -> Item:
    """Of 0 to 300 chunks, which only the id and the version decide."""
    chunks = random.Random(f"{identity} {version}").choice([0, 1, 3, 100, 300])
    texts = [f"{identity} version {version} chunk {n}" for n in range(chunks)]
    return item(identity, *texts, metadata={"version": version}, source=source)


def steps(seed: int) -> Any:
    rng = random.Random(seed)
    number = seed * 1_000_000
    while True:
        number += 1
        ids = [f"doc{rng.randrange(IDS)}" for _ in range(rng.choice([1, 2, 5, 20]))]
        kind = rng.choices(["put", "delete", "move", "compact", "settle"], [60, 15, 10, 5, 10])[0]
        yield {"kind": kind, "ids": sorted(set(ids)), "version": number}


def applied(state: State, step: Step) -> State:
    after = dict(state)
    for identity in step["ids"]:
        if step["kind"] == "put":
            after[identity] = step["version"], f"/{identity}/{step['version']}"
        elif step["kind"] == "delete":
            after.pop(identity, None)
        elif step["kind"] == "move" and identity in after:
            after[identity] = after[identity][0], f"/moved/{identity}/{step['version']}"
    return after


def take(store: Store, step: Step) -> None:
    if step["kind"] == "put":
        version = step["version"]
        store.put([document(identity, version, f"/{identity}/{version}") for identity in step["ids"]])
    elif step["kind"] == "delete":
        store.delete(step["ids"])
    elif step["kind"] == "compact":
        store.compact()
    elif step["kind"] == "settle":
        store.run_merges()


def main() -> None:
    path, journal, seed = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    with Store.open(path) as store, journal.open("a", buffering=1) as log:
        log.write("ready\n")
        for step in steps(seed):
            if step["kind"] == "move":
                for identity in step["ids"]:  # each is an acknowledged write of its own
                    one = {**step, "ids": [identity]}
                    log.write(json.dumps(one) + "\n")
                    store.move(identity, f"/moved/{identity}/{step['version']}")
                    log.write("ok\n")
                continue
            log.write(json.dumps(step) + "\n")
            take(store, step)
            log.write("ok\n")


if __name__ == "__main__":
    main()
