"""A body that is wrong in 100,000 places costs as little as one that is wrong in one."""

from collections.abc import Iterator
from typing import Any

import pytest

import services.protocol.chat
import services.protocol.completion
import services.protocol.embedding
import services.protocol.scoring  # noqa: F401 - each module's models are Wire's subclasses
from services.protocol import Wire


def subclasses(kind: type[Wire]) -> Iterator[type[Wire]]:
    for each in kind.__subclasses__():
        yield each
        yield from subclasses(each)


def slow_parts(schema: Any, place: str = "") -> Iterator[str]:
    """Lists and dicts in a core schema that build an error for each of their items."""
    if isinstance(schema, dict):
        takes_anything = schema.get("values_schema", {}).get("type") == "any"  # of JSON, whose keys are strings
        if schema.get("type") in ("list", "dict") and not schema.get("fail_fast") and not takes_anything:
            yield place
        for name, part in schema.items():
            yield from slow_parts(part, f"{place}.{name}")
    elif isinstance(schema, list | tuple):
        for number, part in enumerate(schema):
            yield from slow_parts(part, f"{place}.{number}")


@pytest.mark.parametrize("model", sorted(set(subclasses(Wire)), key=lambda model: model.__name__))
def test_every_list_of_a_request_ends_at_its_first_error(model: type[Wire]) -> None:
    assert list(slow_parts(model.__pydantic_core_schema__)) == []


MANY = 100_000


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/embeddings", {"input": [{}] * MANY}),
        ("/v1/embeddings", {"input": [["a"]] * MANY}),
        ("/v2/embed", {"texts": [{}] * MANY}),
        ("/pooling", {"input": [{}] * MANY}),
        ("/detokenize", {"tokens": ["x"] * MANY}),
        ("/score", {"queries": "a", "documents": [{}] * MANY}),
        ("/score", {"queries": "a", "documents": {"content": [5] * MANY}}),
        ("/rerank", {"query": "a", "documents": [{}] * MANY}),
        ("/invocations", {"query": "a", "documents": [{}] * MANY}),
    ],
)
def test_the_answer_to_100_000_mistakes_names_few(embed, path, body):
    answer = embed.post(path, json=body)
    assert answer.status_code == 400
    found = answer.json()["error"]["message"]
    assert path == "/invocations" or int(found.split(" validation error")[0]) <= 10, found
