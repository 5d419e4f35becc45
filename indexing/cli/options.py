"""Options that several commands share."""

from typing import Annotated

import typer

Collection = Annotated[str, typer.Option("--collection", "-c", help="The collection.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
