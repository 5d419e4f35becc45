"""`python -m indexing PATH...`"""

import sys

from indexing.cli import index
from services.errors import RaglineError

if __name__ == "__main__":
    try:
        index(prog_name="python -m indexing")
    except RaglineError as exc:
        sys.exit(f"ragline: {exc}")
