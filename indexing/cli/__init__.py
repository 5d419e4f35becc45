"""`ragline index` and `ragline jobs`. FAISS and the parsers are imported when a command opens a store, not before."""

from indexing.cli.index import index
from indexing.cli.jobs import jobs
from indexing.cli.maintain import maintain

index.add_typer(maintain)

__all__ = ["index", "jobs"]
