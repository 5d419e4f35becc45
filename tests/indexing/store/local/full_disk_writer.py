"""Puts documents until the disk is full: `python -m tests.indexing.store.local.full_disk_writer DIRECTORY LIMIT`.

LIMIT bytes a file, or 0 where the directory has a limit of its own. Prints what was acknowledged, and the error.
"""

import json
import resource
import signal
import sys
from pathlib import Path

from indexing.errors import StorageError
from indexing.store.local import Store, collection_path
from tests.indexing.made import MANIFEST, bulk, clustered


def main() -> None:
    path, limit = collection_path(Path(sys.argv[1]), "default"), int(sys.argv[2])
    vectors = clustered(200_000, 1)
    done = 0
    with Store.create_or_open(path, MANIFEST) as store:
        if limit:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            for first in range(0, len(vectors), 500):
                store.put(bulk(vectors[first : first + 500], first))
                done += 500
        except StorageError as exc:
            found = store.search_dense(vectors[done - 1], 1)
            print(json.dumps([done, str(exc), store.chunks([found[0].chunk_id])[0].text, store.stats().chunks]))


if __name__ == "__main__":
    main()
