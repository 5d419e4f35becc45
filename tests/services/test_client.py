"""The clients against servers on 127.0.0.1 that lie, are busy, or are of another make."""

import asyncio
import base64
import gzip
import json
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, TypeVar

import numpy as np
import pytest

from services.client import Decision, Delta, EmbedClient, GenerateClient, ModelCard, ScoreClient, ServiceClient, Usage
from services.errors import (
    DeadlineError,
    EngineError,
    NotFoundError,
    OverloadedError,
    UnavailableError,
)
from services.settings import ScoreSettings

pytestmark = pytest.mark.anyio

JSON = {"Content-Type": "application/json"}
EVENTS = {"Content-Type": "text/event-stream"}
C = TypeVar("C", bound=ServiceClient)
Answer = tuple[int, dict[str, str], bytes]


class Made:
    """A server of the routes that a test gives it; 404 for all others. `asked`: paths and bodies, in order."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.routes: dict[str, Answer | Callable[[Any], Answer]] = {}
        self.asked: list[tuple[str, Any]] = []
        self.clients: list[ServiceClient] = []

    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]

    def client(self, kind: type[C], **fields: Any) -> C:
        """A client of the model "m"; fields: of its settings. It is closed with the server."""
        made = kind(ScoreSettings(**{"url": self.url, "model": "/models/m", **fields}))
        self.clients.append(made)
        return made


def answer(body: Any, status: int = 200, headers: dict[str, str] = JSON) -> Answer:
    return status, headers, body if isinstance(body, bytes) else json.dumps(body).encode()


@pytest.fixture
async def server() -> AsyncIterator[Made]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "null")
            made.asked.append((self.path, body))
            found = made.routes.get(self.path, answer({"detail": "Not Found"}, 404))
            status, headers, content = found(body) if callable(found) else found
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)
            self.close_connection = "Content-Length" in headers  # a test's own is a lie

        do_GET = do_POST  # noqa: N815 - http.server's name

        def log_message(self, *_: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made = Made(f"http://127.0.0.1:{http.server_address[1]}")
    thread = Thread(target=http.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield made
    for client in made.clients:
        await client.aclose()
    http.shutdown()
    http.server_close()


def b64(*values: float) -> str:
    return base64.b64encode(np.array(values, dtype="<f4").tobytes()).decode()


def vectors(*items: tuple[int, Any]) -> dict[str, Any]:
    return {"data": [{"index": index, "embedding": embedding} for index, embedding in items]}


def scored(*items: tuple[int, Any]) -> dict[str, Any]:
    return {"data": [{"index": index, "score": score} for index, score in items]}


PAGE = answer(b"<html>Please log in</html>", headers={"Content-Type": "text/html"})
NOT_JSON = [
    pytest.param(PAGE, id="a page"),
    pytest.param(answer(b""), id="nothing"),
    pytest.param(answer(b"\xff\xfe{}"), id="no UTF-8"),
    pytest.param(answer(b'{"data": [{"index": 0, '), id="cut JSON"),
    pytest.param(answer(b"[" * 100_000), id="nested too deep"),
    pytest.param(answer(b"plain", headers={**JSON, "Content-Encoding": "gzip"}), id="no gzip"),
    pytest.param(answer(gzip.compress(b"{}")[:-9], headers={**JSON, "Content-Encoding": "gzip"}), id="cut gzip"),
    pytest.param((204, {}, b""), id="no content"),
    pytest.param((302, {"Location": "/login"}, b""), id="a redirect"),
    *(pytest.param(answer(body), id=f"{body!r}") for body in (None, 5, "text", [], {}, [1], {"data": None})),
    *(pytest.param(answer({"data": body}), id=f"data {body!r}") for body in ([], {}, "ab", [1, 2], [[], []], [{}, {}])),
    pytest.param(answer({"error": "Unexpected endpoint or method."}), id="an error with 200"),
]


@pytest.mark.parametrize("lie", NOT_JSON)
async def test_what_is_no_answer_is_the_engines_error(server: Made, lie: Answer) -> None:
    server.routes = dict.fromkeys(("/v1/embeddings", "/v1/score", "/v1/models", "/v1/chat/completions"), lie)
    embed, score, generate = (server.client(kind) for kind in (EmbedClient, ScoreClient, GenerateClient))
    for call in (
        embed.embed(["a", "b"], input_type="query"),
        score.score("q", ["a", "b"]),
        generate.model(),
        collected(generate),
    ):
        with pytest.raises(EngineError, match="service"):
            await call


@pytest.mark.parametrize(
    "lie",
    [
        vectors((0, b64(1, 0))),
        vectors((0, b64(1, 0)), (1, b64(0, 1)), (2, b64(1, 1))),
        vectors((0, b64(1, 0)), (0, b64(0, 1))),
        vectors((0, b64(1, 0)), (2, b64(0, 1))),
        vectors((0, b64(1, 0)), (-1, b64(0, 1))),
        vectors((0, b64(1, 0)), ("1", b64(0, 1))),
        {"data": [{"embedding": b64(1, 0)}, {"embedding": b64(0, 1)}]},
        vectors((0, b64(1, 0)), (1, b64(0, 1, 1))),
        vectors((0, b64(1, 0)), (1, b64(float("nan"), 1))),
        vectors((0, [1.0, 0.0]), (1, [float("inf"), 0.0])),
        vectors((0, [1.0, 0.0]), (1, [1e39, 0.0])),
        vectors((0, [1.0, 0.0]), (1, [10**400, 0.0])),
        vectors((0, [1.0, 0.0]), (1, [None, 0.0])),
        vectors((0, [1.0, 0.0]), (1, ["one", "two"])),
        vectors((0, [[1.0, 0.0]]), (1, [[1.0, 0.0]])),
        vectors((0, b64()), (1, b64())),
        vectors((0, "AAA"), (1, "AAA")),
        vectors((0, "AAAAAA=="), (1, "AAAAAA==")) | {"data": [{"index": 0, "embedding": "****"}] * 2},
        vectors((0, 5), (1, 5)),
        vectors((0, None), (1, None)),
    ],
)
async def test_embeddings_that_are_not_one_finite_vector_a_text(server: Made, lie: Any) -> None:
    server.routes["/v1/embeddings"] = answer(lie)
    with pytest.raises(EngineError, match="cannot be used"):
        await server.client(EmbedClient).embed(["a", "b"], input_type="query")


async def test_embeddings_come_in_the_order_of_the_texts_and_of_length_one(server: Made) -> None:
    server.routes["/v1/embeddings"] = answer(vectors((1, [0.0, 1e30]), (0, b64(3, 4))))
    read = await server.client(EmbedClient).embed(["a", "b"], input_type="query")
    assert read.dtype == np.float32
    np.testing.assert_allclose(read, [[0.6, 0.8], [0, 1]], rtol=1e-6)


async def test_embeddings_of_another_dimension_than_the_presets(server: Made) -> None:
    server.routes["/v1/embeddings"] = answer(vectors((0, b64(3, 4))))
    with pytest.raises(EngineError, match=r"2 dimensions, and bge-small-en-v1\.5-int8 has 384"):
        await server.client(EmbedClient, model="bge-small-en-v1.5-int8").embed(["a"], input_type="query")


@pytest.mark.parametrize(
    "lie",
    [
        scored((0, 1.0)),
        scored((0, 1.0), (1, 2.0), (2, 3.0)),
        scored((0, 1.0), (0, 2.0)),
        scored((0, 1.0), (2, 2.0)),
        scored((0, 1.0), (-1, 2.0)),
        scored((0, 1.0), (1, float("nan"))),
        scored((0, 1.0), (1, float("-inf"))),
        scored((0, 1.0), (1, 1e39)),
        scored((0, 1.0), (1, 10**400)),
        scored((0, 1.0), (1, None)),
        scored((0, 1.0), (1, "high")),
        scored((0, [1.0]), (1, [2.0])),
        scored((0, [1.0]), (1, 2.0)),
        {"data": [{"index": 0}, {"index": 1}]},
        {"scores": [[1.0], [2.0]]},
    ],
)
async def test_scores_that_are_not_one_finite_number_a_document(server: Made, lie: Any) -> None:
    server.routes["/v1/score"] = answer(lie)
    with pytest.raises(EngineError, match="cannot be used"):
        await server.client(ScoreClient).score("q", ["a", "b"])


async def collected(client: GenerateClient) -> list[Delta]:
    return [delta async for delta in client.stream([{"role": "user", "content": "?"}])]


def chunk(content: Any = None, finish: Any = None, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": content}, "finish_reason": finish}], **fields}


def events(*chunks: Any, done: bool = True) -> Answer:
    lines = [c if isinstance(c, str) else json.dumps(c) for c in chunks] + ["[DONE]"] * done
    return answer("".join(f"data: {line}\n\n" for line in lines).encode(), headers=EVENTS)


@pytest.mark.parametrize(
    "stream",
    [
        pytest.param(events(), id="nothing but the end"),
        pytest.param(answer(b"", headers=EVENTS), id="not even the end"),
        pytest.param(events(chunk("Paris"), done=False), id="broken off"),
        pytest.param(events(chunk("Paris")), id="no finish_reason"),
        pytest.param(events(chunk("Paris"), "{"), id="cut JSON"),
        pytest.param(events(chunk("Paris"), "[]"), id="a list"),
        pytest.param(events(chunk("Paris"), '"text"'), id="a string"),
        pytest.param(events(chunk("Paris"), "{}"), id="no choices"),
        pytest.param(events({"choices": [5]}), id="a choice that is a number"),
        pytest.param(events({"choices": [{"delta": "Paris"}]}), id="a delta that is a string"),
        pytest.param(events({"choices": [{"finish_reason": "stop"}]}), id="no delta"),
        pytest.param(events(chunk(5, "stop")), id="a number for text"),
        pytest.param(events(chunk("\ud800", "stop")), id="a lone surrogate"),
        pytest.param(events(chunk("Paris", 5)), id="a number for finish_reason"),
        pytest.param(events(chunk("", "stop", usage={"prompt_tokens": 1})), id="half a usage"),
        pytest.param(
            events(chunk("", "stop", usage={"prompt_tokens": "1", "completion_tokens": 1})), id="usage in words"
        ),
        pytest.param(events(chunk("Par"), {"error": {"message": "out of memory"}}), id="an error"),
        pytest.param(events(chunk("Par"), {"error": "out of memory"}), id="an error in a word"),
        pytest.param(answer(chunk("Paris", "stop")), id="unstreamed"),
    ],
)
async def test_a_stream_that_is_not_an_answer(server: Made, stream: Answer) -> None:
    server.routes["/v1/chat/completions"] = stream
    with pytest.raises(EngineError, match="generate service"):
        await collected(server.client(GenerateClient))


async def test_a_stream_that_the_connection_cuts(server: Made) -> None:
    whole = events(chunk("Paris"), chunk("", "stop"))
    server.routes["/v1/chat/completions"] = (200, {**EVENTS, "Content-Length": str(len(whole[2]) + 100)}, whole[2][:70])
    with pytest.raises(UnavailableError):
        await collected(server.client(GenerateClient))


async def test_a_stream(server: Made) -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": 2}
    first = {"choices": [{"index": 0, "delta": {"role": "assistant"}, "finish_reason": None}], "usage": None}
    server.routes["/v1/chat/completions"] = events(
        first, chunk("Par"), chunk("is", "stop"), {"choices": [], "usage": usage}
    )
    assert await collected(server.client(GenerateClient)) == [
        Delta("Par"),
        Delta("is"),
        Delta("", "stop", Usage(7, 2)),
    ]
    assert server.asked[0][1]["stream_options"] == {"include_usage": True}


async def test_a_stream_of_a_server_without_usage(server: Made) -> None:
    server.routes["/v1/chat/completions"] = events(chunk("Paris", "length"), done=False)
    assert await collected(server.client(GenerateClient)) == [Delta("Paris"), Delta("", "length")]


async def test_the_tokens_to_keep_out_of_texts(server: Made) -> None:
    told = {"0": "<|im_end|>", "7": "<tool_call>", "8": "\n\n", "9": "▁▁", "10": "{"}
    server.routes["/tokenizer_info"] = answer({"tokenizer_class": "Tokenizer", "added_tokens_decoder": told})
    generate = server.client(GenerateClient)
    assert await generate.added_tokens() == {"<|im_end|>", "<tool_call>"}
    assert await generate.added_tokens() == {"<|im_end|>", "<tool_call>"}
    assert server.paths() == ["/tokenizer_info"]


@pytest.mark.parametrize("told", [answer({}, status=404), answer({"error": "Unexpected endpoint"}), answer(b"<html>")])
async def test_a_server_that_tells_no_tokens(server: Made, told: Answer) -> None:
    server.routes["/tokenizer_info"] = told
    assert await server.client(GenerateClient).added_tokens() == frozenset()


@pytest.mark.parametrize("body", [{"tokens": []}, {"error": "Unexpected endpoint or method."}])
async def test_a_server_that_cannot_count_messages_has_no_such_route(server: Made, body: Any) -> None:
    server.routes["/tokenize"] = answer(body)
    with pytest.raises(NotFoundError):
        await server.client(GenerateClient).count([{"role": "user", "content": "?"}])


@pytest.mark.parametrize("count", ["7", None, -1, 7.5])
async def test_a_count_that_is_none(server: Made, count: Any) -> None:
    server.routes["/tokenize"] = answer({"count": count})
    with pytest.raises(EngineError):
        await server.client(GenerateClient).count([{"role": "user", "content": "?"}])


@pytest.mark.parametrize("body", [b"<html>", b"{}", b'{"model": 5}', b"[]", b'{"error": "Unexpected endpoint"}'])
async def test_what_is_no_tokenizer_is_none(server: Made, body: bytes) -> None:
    server.routes["/tokenizer.json"] = answer(body)
    assert await server.client(EmbedClient).tokenizer_json() is None


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error": {"message": "too long"}}', "too long"),
        (b'{"error": "too long", "error_type": "Validation"}', "too long"),
        (b'{"object": "error", "message": "too long"}', "too long"),
        (b'{"error": {"message": "\\ud800"}}', r"\?"),
        (b"<html>", "Internal Server Error"),
        (b"[" * 100_000, "Internal Server Error"),
        (b"5", "5"),
    ],
)
async def test_an_error_is_said_in_the_services_words(server: Made, body: bytes, said: str) -> None:
    server.routes["/v1/score"] = answer(body, 500)
    with pytest.raises(EngineError, match=f"^the score service says: {said}$"):
        await server.client(ScoreClient).score("q", ["a"])


def in_an_hour() -> str:
    return format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("after", ["5", "3600", "date", "99999999999999999999"])
async def test_retry_after_is_never_slept_past_the_deadline(server: Made, status: int, after: str) -> None:
    """The error is raised while there is time left to do something else."""
    header = in_an_hour() if after == "date" else after
    server.routes["/v1/score"] = answer({"error": {"message": "full"}}, status, {**JSON, "Retry-After": header})
    deadline = time.monotonic() + 3
    with pytest.raises(OverloadedError if status == 429 else UnavailableError) as caught:
        await server.client(ScoreClient).score("q", ["a"], deadline=deadline)
    assert time.monotonic() < deadline
    assert not isinstance(caught.value, DeadlineError)
    expected = {"5": [5], "3600": [3600], "date": [3599, 3600]}
    assert caught.value.retry_after in expected.get(after, [None])
    assert len(server.asked) == (3 if after not in expected else 1)


async def test_without_a_deadline_an_hour_is_not_slept_either(server: Made) -> None:
    server.routes["/v1/score"] = answer({"error": {"message": "full"}}, 429, {**JSON, "Retry-After": "3600"})
    async with asyncio.timeout(60):
        with pytest.raises(OverloadedError):
            await server.client(ScoreClient).score("q", ["a"])
    assert len(server.asked) == 1


@pytest.mark.parametrize("after", ["0", "nonsense", "-5", "1e9", "²", "", "9" * 5000, "Mon, 99 Foo 2026"])
async def test_a_short_or_senseless_retry_after_is_tried_again(server: Made, after: str) -> None:
    turns = iter([answer({}, 429, {**JSON, "Retry-After": after.encode().decode("latin-1")}), answer(scored((0, 2.5)))])
    server.routes["/v1/score"] = lambda _: next(turns)
    assert await server.client(ScoreClient).score("q", ["a"]) == [2.5]


async def test_a_retry_after_that_fits_is_waited_for(server: Made) -> None:
    turns = iter([answer({}, 429, {**JSON, "Retry-After": "1"}), answer(scored((0, 2.5)))])
    server.routes["/v1/score"] = lambda _: next(turns)
    began = time.monotonic()
    assert await server.client(ScoreClient).score("q", ["a"], deadline=began + 30) == [2.5]
    assert time.monotonic() - began >= 1


QWEN = {"id": "m", "object": "model"}
OTHER = {"id": "other", "object": "model", "max_model_len": 77}
UNKNOWN = GenerateClient.default_max_model_len


@pytest.mark.parametrize(
    ("listed", "window"),
    [
        pytest.param([{**QWEN, "max_model_len": 4096}], 4096, id="vLLM"),
        pytest.param([{**QWEN, "meta": {"n_ctx": 8192, "n_ctx_train": 131072}}], 8192, id="llama.cpp"),
        pytest.param([{**QWEN, "meta": {"n_ctx_train": 32768}}], 32768, id="llama.cpp, older"),
        pytest.param([{**QWEN, "meta": None}], UNKNOWN, id="llama.cpp, model not loaded"),
        pytest.param(
            [OTHER, {**QWEN, "max_context_length": 32768, "loaded_context_length": 4096}], 4096, id="LM Studio"
        ),
        pytest.param([OTHER, {**QWEN, "max_context_length": 32768}], 32768, id="LM Studio, not loaded"),
        pytest.param([OTHER, {**QWEN, "owned_by": "library"}], UNKNOWN, id="Ollama, OpenAI, LiteLLM"),
        pytest.param([OTHER, {**OTHER, "id": "third"}], UNKNOWN, id="a gateway that does not list it"),
        pytest.param([{"id": "/models/m.gguf", "max_model_len": 2048}], 2048, id="one model under another name"),
        pytest.param([{**QWEN, "max_model_len": "4096"}], UNKNOWN, id="a window that is no number"),
        pytest.param([{**QWEN, "max_model_len": 0}], UNKNOWN, id="a window of 0"),
    ],
)
async def test_the_window_of_a_generator(server: Made, listed: list[Any], window: int) -> None:
    server.routes["/v1/models"] = answer({"object": "list", "data": listed})
    named = listed[0]["id"] if len(listed) == 1 else "m"
    assert await server.client(GenerateClient).model() == ModelCard(named, window)
    assert (await server.client(GenerateClient, max_model_len=1000).model()).max_model_len == 1000


@pytest.mark.parametrize(
    ("served", "window"), [({}, 8192), ({"max_model_len": 2048}, 2048), ({"max_model_len": 10**6}, 8192)]
)
async def test_a_presets_window_holds_where_the_server_has_no_smaller_one(
    server: Made, served: dict[str, int], window: int
) -> None:
    name = "SmolLM2-135M-Instruct-Q4_1"
    server.routes["/v1/models"] = answer({"data": [{"id": name, **served}]})
    card = await server.client(GenerateClient, model=name).model()
    assert card == ModelCard(name, window)


async def test_an_embedder_that_lists_no_model(server: Made) -> None:
    """TEI has no /v1/models; what it cannot read it cuts."""
    assert await server.client(EmbedClient).model() == ModelCard("m", 512)
    with pytest.raises(NotFoundError):
        await server.client(EmbedClient, model="").model()


async def test_which_of_several_models_must_be_said(server: Made) -> None:
    server.routes["/v1/models"] = answer({"data": [OTHER, QWEN]})
    with pytest.raises(EngineError, match="served_model_name"):
        await server.client(GenerateClient, model="").model()


@pytest.mark.parametrize(
    ("routes", "healthy"),
    [
        ({"/health": (200, {}, b"")}, True),
        ({"/health": answer({}, 503), "/v1/models": answer({"data": []})}, False),
        ({"/v1/models": answer({"data": []})}, True),
        ({"/v1/models": answer({}, 500)}, False),
        ({}, False),
    ],
)
async def test_health_without_a_route_for_it(server: Made, routes: dict[str, Answer], healthy: bool) -> None:
    server.routes = dict(routes)
    assert await server.client(GenerateClient).healthy() is healthy


RERANKED = {"results": [{"index": 1, "relevance_score": 2.0}, {"index": 0, "relevance_score": -1.0}]}
TEI = [{"index": 1, "score": 2.0}, {"index": 0, "score": -1.0}]
SCORED = scored((0, -1.0), (1, 2.0))


@pytest.mark.parametrize("end", ["", "/", "/v1", "/v1/"])
@pytest.mark.parametrize(
    ("prefix", "path", "body"),
    [
        pytest.param("", "/v1/score", SCORED, id="vLLM"),
        pytest.param("/openai", "/openai/v1/rerank", RERANKED, id="KServe"),
        pytest.param("", "/v1/rerank", TEI, id="SGLang"),
        pytest.param("", "/rerank", TEI, id="TEI"),
        pytest.param("", "/rerank", RERANKED, id="Infinity"),
        pytest.param("/some/gateway", "/some/gateway/v1/score", SCORED, id="behind a path"),
    ],
)
async def test_scores_come_from_the_route_that_answers(
    server: Made, end: str, prefix: str, path: str, body: Any
) -> None:
    server.routes[path] = answer(body)
    client = server.client(ScoreClient, url=server.url + prefix + end)
    for _ in range(2):
        np.testing.assert_array_equal(await client.score("q", ["a", "b"]), [-1.0, 2.0])
    assert server.paths()[-2:] == [path, path], "the route that answered is asked first"
    asked = server.asked[-1][1]
    assert asked["documents"] == ["a", "b"]
    assert asked["use_activation"] is False
    if path == "/rerank":
        assert asked["texts"] == ["a", "b"]
        assert asked["raw_scores"] is True


async def test_a_route_that_went_is_looked_for_anew(server: Made) -> None:
    client = server.client(ScoreClient)
    for path, body in (("/rerank", TEI), ("/v1/score", SCORED)):
        server.routes = {path: answer(body)}
        np.testing.assert_array_equal(await client.score("q", ["a", "b"]), [-1.0, 2.0])


async def test_a_route_may_be_set(server: Made) -> None:
    server.routes = {"/v1/score": answer(SCORED), "/rerank": answer(TEI)}
    await server.client(ScoreClient, score_route="/rerank").score("q", ["a", "b"])
    assert server.paths() == ["/rerank"]


async def test_a_server_without_any_of_the_routes(server: Made) -> None:
    with pytest.raises(NotFoundError, match="score service"):
        await server.client(ScoreClient).score("q", ["a"])
    assert server.paths() == ["/v1/score", "/v1/rerank", "/rerank"]


async def test_a_proxy_of_the_environment_is_not_asked(server: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.setenv(name.lower(), "socks5://127.0.0.1:9")
    server.routes["/v1/score"] = answer(scored((0, 1.0)))
    server.routes["/health"] = (200, {}, b"")
    client = server.client(ScoreClient)
    assert await client.score("q", ["a"]) == [1.0]
    assert await client.healthy()


LEAK = {
    "leak": {"type": "noul", "instructions": "Does it leak?"},
    "part": {"type": "choice", "criteria": {"seal": None}},
}


async def test_decisions_are_read(server: Made) -> None:
    noul = {"type": "noul", "noul": 0.25, "probabilities": {"yes": 0.25, "no": 0.75}, "confidence": 0.7}
    part = {"type": "choice", "choice": "seal", "probabilities": {"seal": 1}, "confidence": 0.5}
    server.routes["/v1/systemone"] = answer({"answers": {"leak": noul, "part": part}})
    client = server.client(GenerateClient)
    found = await client.systemone({"note": "oil"}, LEAK, instructions="Be strict.")
    assert found == {"leak": Decision(0.25, 0.7), "part": Decision("seal", 0.5)}
    body = {"model": "m", "state": {"note": "oil"}, "questions": LEAK, "instructions": "Be strict."}
    assert server.asked == [("/v1/systemone", body)]


@pytest.mark.parametrize(
    "answers",
    [
        {},
        {"leak": {"type": "noul", "noul": 0.5, "confidence": 0.5}},
        {"leak": {"type": "noul", "noul": None, "confidence": 0.5}, "part": {}},
        {"leak": {"type": "noul", "noul": float("nan"), "confidence": 0.5}, "part": {}},
        {"leak": {"type": "essay", "confidence": 0.5}, "part": {}},
    ],
)
async def test_decisions_that_are_none_are_the_services_failure(server: Made, answers: Any) -> None:
    server.routes["/v1/systemone"] = answer({"answers": answers})
    with pytest.raises(EngineError, match="gave an answer that cannot be used"):
        await server.client(GenerateClient).systemone("x", LEAK)


@pytest.mark.parametrize("status", [404, 501])
async def test_a_server_without_decisions_is_told_apart(server: Made, status: int) -> None:
    server.routes["/v1/systemone"] = answer({"error": {"message": "no"}}, status)
    with pytest.raises(NotFoundError):
        await server.client(GenerateClient).systemone("x", LEAK)
