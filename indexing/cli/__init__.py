"""`ragline index` and `ragline jobs`: modules that open an index are loaded by the command that needs them."""

from indexing.cli.care import care
from indexing.cli.index import index
from indexing.cli.jobs import jobs

index.add_typer(care)

__all__ = ["index", "jobs"]
