"""Options that several commands share."""

from typing import Annotated

import typer

Collection = Annotated[str, typer.Option("--collection", "-c", help="The collection.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
STOPPED = 130
"""Exit status after Ctrl-C, as a shell gives it."""
