"""`python -m services serve ...`, for where the `ragline` command is not installed."""

import typer

from services.cli import serve
from services.models_cli import models

cli = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
cli.command()(serve)
cli.add_typer(models)

if __name__ == "__main__":
    cli()
