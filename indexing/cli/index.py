"""`ragline index PATH...`"""

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from indexing.cli.options import AsJson, Collection


class _PathsFirst(TyperGroup):
    """`index PATH...` is `index build PATH...`; for a folder that has a command's name, write ./NAME."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] != "--help":
            args = ["build", *args]
        return super().parse_args(ctx, args)


index = typer.Typer(
    cls=_PathsFirst,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Index files, folders, globs and URLs (`ragline index PATH...`), and look after the index.",
)


@index.command()
def build(
    paths: Annotated[list[str], typer.Argument(help="Files, folders, globs and URLs.")],
    *,
    collection: Collection = "default",
    prune: Annotated[bool, typer.Option("--prune", help="Drop what is gone from the given folders.")] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Then follow the folders until Ctrl-C; implies --prune.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Index what is new or changed. What is committed stays, whatever ends this: the same command goes on."""
    from indexing.cli import session  # noqa: PLC0415 (it opens FAISS and the parsers)

    if watch:
        session.watch(paths, collection)
    else:
        session.build(paths, collection, prune=prune, as_json=as_json)
