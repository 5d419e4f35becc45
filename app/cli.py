"""The `ragline` command: `up`, `ask`, `search`, `verify`, `eval`, `orchestrate`, and what the other packages bring."""

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import Annotated, Any

import httpx2
import typer
from rich.console import Console
from rich.markup import escape

from app.display import (
    FORMS,
    console,
    origin_of,
    print_calibration,
    print_claim,
    print_counts,
    print_duplicate,
    print_findings,
    print_json,
    print_missing,
    print_outcome,
    print_sources,
    print_warnings,
)
from app.evaluate.command import evaluate
from app.settings import AppSettings
from services.addresses import exclusive, http_url
from services.errors import NotFoundError, RaglineError, UnavailableError

cli = typer.Typer(
    name="ragline",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
PART_CHARS = 8_000
"""Characters of a text that are verified at once."""

CollectionOption = Annotated[str, typer.Option("--collection", "-c", help="Empty: the server's default.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the API's answer as it is.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ragline {version('ragline')}")
        raise typer.Exit


@cli.callback()
def ragline(
    *, _version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True)] = False
) -> None:
    """Ask questions of your own documents, on your own hardware."""


@cli.command()
def ask(
    question: Annotated[str, typer.Argument(help="Or - to read it from standard input.")],
    *,
    collection: CollectionOption = "",
    top_n: Annotated[int | None, typer.Option(help="Passages to answer from.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Ask a question; the answer streams, with its sources."""
    if question == "-":
        question = sys.stdin.read().strip()
    body = {"question": question, "collection": collection or None, "top_n": top_n, "stream": not as_json}
    if as_json:
        print_json(_post("/ask", body))
        return
    sources: list[dict[str, Any]] = []
    cited: dict[int, list[int]] = {}
    for event, payload in _events("/ask", body):
        match event:
            case "sources":
                sources = payload["sources"]
            case "delta":
                console.print(payload["text"], end="", markup=False, highlight=False)
            case "citation":
                cited.setdefault(payload["index"], []).append(payload["page"])
            case "error":
                raise RaglineError(payload["error"]["message"])
            case "done":
                console.print("\n")
                if payload["form"]:
                    console.print(f"[dim]{FORMS[payload['form']]}[/]")
                print_missing(payload)
                print_sources(sources, cited)
                print_outcome(payload)


@cli.command()
def search(
    query: str,
    *,
    collection: CollectionOption = "",
    top_n: Annotated[int, typer.Option(help="Passages to show.")] = 10,
    as_json: JsonOption = False,
) -> None:
    """Print the passages for a query, best first, without an answer."""
    answer = _post("/search", {"query": query, "collection": collection or None, "top_n": top_n})
    if as_json:
        print_json(answer)
        return
    for source in answer["results"]:
        console.print(
            f"[bold]{source['index']}[/] {origin_of(source)}  [dim]{source['score']:.3f} {source['score_scale']}[/]"
        )
        console.print(f"   {' '.join(source['text'].split())[:300]}", markup=False, highlight=False, style="dim")
    print_outcome(answer)


@cli.command()
def duplicates(
    *,
    collection: CollectionOption = "",
    threshold: Annotated[float, typer.Option(help="Cosine from which two chunks are near-equal.")] = 0.95,
    share: Annotated[float, typer.Option(help="Share of a document's chunks that its copy has, too.")] = 0.8,
    as_json: JsonOption = False,
) -> None:
    """List the documents that others of the collection repeat."""
    name = collection or _get("/collections")["default"]
    asked: dict[str, Any] = {"threshold": threshold, "share": share}
    compared = found = 0
    while True:
        page = _get(f"/collections/{name}/duplicates", asked)
        compared, found = compared + page["compared"], found + len(page["documents"])
        if as_json:
            print_json(page)
        else:
            for each in page["documents"]:
                print_duplicate(each)
        if page["next_cursor"] is None:
            break
        asked["cursor"] = page["next_cursor"]
    if not as_json:
        console.print(f"{found} of {compared} documents are repeated by others.")


@cli.command()
def verify(
    file: Annotated[str, typer.Argument(help="Or - to read from standard input.")],
    *,
    collection: CollectionOption = "",
    as_json: JsonOption = False,
) -> None:
    """Check each sentence of a text against the documents."""
    counts = Counter[str]()
    for text in _parts(sys.stdin.read() if file == "-" else _text_of(file)):
        answer = _post("/verify", {"text": text, "collection": collection or None})
        for result in answer["results"]:
            counts[result["support"]] += 1
            if not as_json:
                print_claim(result)
        if as_json:
            print_json(answer)
        print_warnings(answer)
    if not as_json:
        print_counts(counts)


def _text_of(file: str) -> str:
    from indexing.read.formats.load import load  # noqa: PLC0415 - its parsers are of no use to the other commands

    if not Path(file).is_file():
        raise NotFoundError(f"no such file: {file}")
    return "\n\n".join(document.text for document in load(Path(file)))


def _parts(text: str) -> Iterator[str]:
    """Yield a text in pieces that one request can check, cut between paragraphs where it can be."""
    while text := text.strip():
        cut = len(text) if len(text) <= PART_CHARS else text.rfind("\n\n", 0, PART_CHARS)
        cut = cut if cut > 0 else max(text.rfind(" ", 0, PART_CHARS), PART_CHARS // 2)
        yield text[:cut]
        text = text[cut:]


@cli.command()
def calibrate(
    dataset: Annotated[str, typer.Argument(help="A set of questions: docs/evaluation.md names the forms.")],
    *,
    collection: Annotated[str, typer.Option("--collection", "-c", help="Ask of this one; nothing is indexed.")] = "",
    limit: Annotated[int | None, typer.Option(min=1, help="Ask a sample of so many questions.")] = None,
    risk: Annotated[
        float | None, typer.Option(min=0.001, max=0.5, help="Share of unanswerable questions that may be answered.")
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Keep the model in the data folder, for `ragline up`.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Fit on a set of questions when to say that the documents do not answer."""
    from app.answer.answerability import FITTED  # noqa: PLC0415 - numpy is of no use to the other commands
    from app.evaluate.calibrate import as_toml, calibrated  # noqa: PLC0415
    from app.evaluate.evaluation import wanted_of  # noqa: PLC0415

    settings = AppSettings.load().running()
    model, report = asyncio.run(calibrated(settings, wanted_of(dataset, collection, "abstention", limit), risk))
    fitted = as_toml(model, f"Fitted by `ragline calibrate` on {dataset}: docs/refusal.md says how.")
    if as_json:
        print_json({**report, "model": model.model_dump()})
    else:
        print_calibration(report)
    if write:
        (settings.data_dir / FITTED).write_text(fitted, encoding="utf-8")
    elif not as_json:
        console.print(f"\n{fitted}", markup=False, highlight=False)
        console.print("--write keeps this in the data folder, where `ragline up` reads it when it starts.")


@cli.command()
def up(
    *,
    docs: Annotated[list[str] | None, typer.Option(help="Index these first; may be given several times.")] = None,
    collection: Annotated[str, typer.Option("--collection", "-c", help="Where --docs go, and --ask asks.")] = "",
    question: Annotated[str, typer.Option("--ask", help="Ask this once everything stands.")] = "",
) -> None:
    """Start the three model services and the orchestrator here; Ctrl-C stops them."""
    settings = AppSettings.load()
    with exclusive(settings.data_dir), suppress(asyncio.CancelledError):
        asyncio.run(_up(settings, docs or [], collection, question))
    console.print("stopped.")


cli.command("eval")(evaluate)


@cli.command()
def mcp() -> None:
    """Serve the documents to an agent's client over standard input and output (MCP)."""
    from app.mcp import server_over  # noqa: PLC0415 - its libraries are of no use to the other commands

    async def serve() -> None:
        options = _client_options()
        async with httpx2.AsyncClient(transport=httpx2.AsyncHTTPTransport(), **options) as http:
            await server_over(http).run_stdio_async()

    asyncio.run(serve())


@cli.command()
def doctor(*, as_json: JsonOption = False) -> None:
    """Say what keeps ragline from starting or answering here, and how to cure it; exit status 1 with a problem."""
    from app.doctor import examine  # noqa: PLC0415

    findings = list(examine(AppSettings.load()))
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in findings], indent=2))
    else:
        print_findings(findings)
    if any(each.level == "problem" for each in findings):
        raise typer.Exit(1)


@cli.command()
def orchestrate() -> None:
    """Run the orchestrator alone, against services that run elsewhere."""
    from app.http.server import serve  # noqa: PLC0415 - FastAPI and FAISS are of no use to the other commands

    serve(AppSettings.load())


async def _up(settings: AppSettings, docs: list[str], collection: str, question: str) -> None:
    from app.up import Supervisor  # noqa: PLC0415

    stop_on_signals()
    supervisor = Supervisor(settings, console)
    models = [getattr(settings, name).model for name in supervisor.own]
    if models and await supervisor.command("models", "pull", *models):
        raise UnavailableError("the models could not be fetched; see above")
    console.print(f"Starting (profile {settings.profile}) …")
    async with supervisor.running():
        in_collection = ["--collection", collection] if collection else []
        if docs and await supervisor.command("index", *docs, "--prune", *in_collection):
            console.print("[yellow]not everything was indexed; see above[/]")
        if question:
            console.print(f"\n[bold]Q: {escape(question)}[/]")
            await supervisor.command("ask", question, *in_collection)
        console.print(f"\n[bold green]ragline is up.[/] Chat page: [bold]{supervisor.address}[/]   Ctrl-C stops it.")
        await asyncio.Event().wait()


def stop_on_signals() -> None:
    """Ctrl-C and SIGTERM cancel this task, once: how it ends is bounded in time."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()

    def stop() -> None:
        if task is not None and not task.cancelling():
            console.print("\nstopping …")
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)


def _client() -> httpx2.Client:
    return httpx2.Client(transport=httpx2.HTTPTransport(), **_client_options())  # without the environment's proxies


def _client_options() -> dict[str, Any]:
    settings = AppSettings.load().running()
    server = settings.server
    url = server.url.rstrip("/") or http_url(server.host, server.port)
    key = server.api_key.get_secret_value() if server.api_key else None
    headers = {"Authorization": f"Bearer {key}"} if key else None
    return {"base_url": url, "headers": headers, "timeout": settings.ask.deadline_s + 5}


@contextmanager
def _reaching(http: httpx2.Client) -> Iterator[None]:
    try:
        yield
    except httpx2.ConnectError as exc:
        raise UnavailableError(f"no ragline answers at {http.base_url}; start it with `ragline up`") from exc
    except httpx2.TransportError as exc:
        raise UnavailableError(f"ragline at {http.base_url} broke off: {exc or type(exc).__name__}") from exc


def _get(path: str, parameters: dict[str, Any] | None = None) -> dict[str, Any]:
    return _asked("GET", path, params=parameters)


def _post(path: str, body: dict[str, Any]) -> dict[str, Any]:
    return _asked("POST", path, json=body)


def _asked(method: str, path: str, **request: Any) -> dict[str, Any]:
    with _client() as http, _reaching(http):
        response = http.request(method, path, **request)
        _raise_for(response)
        return dict(response.json())


def _events(path: str, body: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    with _client() as http, _reaching(http), http.sse(path, method="POST", json=body) as events:
        if events.response.is_error:
            events.response.read()
            _raise_for(events.response)
        for event in events:
            yield event.event, json.loads(event.data)


def _raise_for(response: httpx2.Response) -> None:
    if response.status_code == httpx2.codes.UNAUTHORIZED:
        raise RaglineError("the server wants another API key; RAGLINE_SERVER__API_KEY names the one that is sent")
    if response.is_error:
        raise RaglineError(response.json()["error"]["message"])


def _join_commands(wanted: str) -> None:
    """The other packages' commands: one alone where it is asked for, none for our own, else (as for --help) all."""
    own = {command.name or getattr(command.callback, "__name__", "") for command in cli.registered_commands}
    entries = [] if wanted in own else list(entry_points(group="ragline.commands"))
    named = [entry for entry in entries if entry.name == wanted]
    for entry in named or sorted(entries, key=lambda entry: entry.name):
        command = entry.load()
        if isinstance(command, typer.Typer):
            cli.add_typer(command, name=entry.name)
        else:
            cli.command(entry.name)(command)


def main() -> None:
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    if command != "models":  # weights may be shared
        os.umask(0o077)  # documents, logs and addresses are their owner's alone
    _join_commands(command)
    try:
        cli()
    except RaglineError as exc:
        Console(stderr=True, soft_wrap=True).print(f"[red]ragline:[/] {escape(str(exc))}")
        sys.exit(1)
