"""`python -m services serve ...`: the services' part of the `ragline` command."""

import sys

import typer

from services.errors import RaglineError
from services.serve import serve
from services.weights.cli import models

cli = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
cli.command()(serve)
cli.add_typer(models)


def main() -> None:
    try:
        cli()
    except RaglineError as exc:
        typer.echo(f"ragline: {exc}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
