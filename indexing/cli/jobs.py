"""`ragline jobs`"""

import typer

from indexing.cli.options import AsJson

jobs = typer.Typer(
    help="What is being indexed, what was, and what failed.", invoke_without_command=True, add_completion=False
)


@jobs.callback()
def newest(ctx: typer.Context, *, as_json: AsJson = False) -> None:
    """The newest jobs of every collection."""
    from indexing.cli import job_list  # noqa: PLC0415 (it opens FAISS)

    if ctx.invoked_subcommand is None:
        job_list.shown(as_json=as_json)


@jobs.command()
def show(job_id: str, *, as_json: AsJson = False) -> None:
    """One job, with every failure and its reason."""
    from indexing.cli import job_list  # noqa: PLC0415 (it opens FAISS)

    job_list.shown_one(job_id, as_json=as_json)


@jobs.command()
def retry(job_id: str, *, as_json: AsJson = False) -> None:
    """Index again what failed in a job, and nothing else."""
    from indexing.cli import job_list, session  # noqa: PLC0415 (they open FAISS and the parsers)

    collection, paths = job_list.failed_paths(job_id)
    if paths:
        session.build(paths, collection, prune=False, exact=True, as_json=as_json)
    else:
        typer.echo(f"nothing failed in job {job_id}")
