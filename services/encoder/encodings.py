"""Answers that are mostly floats, written without a model of each one."""

import json
from collections.abc import Sequence
from typing import Any

from fastapi import Response
from pydantic_core import to_json

from services.embed.vectors import base64_of, encoded
from services.engines import Rows
from services.protocol.pooling import EncodedRequest

BYTES: dict[int | str, dict[str, Any]] = {200: {"content": {"application/octet-stream": {}}}}
"""For routes that answer `encoding_format: bytes`."""


def json_answer(content: dict[str, Any]) -> Response:
    return Response(to_json(content, inf_nan_mode="constants"), media_type="application/json")


def rows_answer(
    head: dict[str, Any], rows: Rows, usage: dict[str, Any], body: EncodedRequest, *, kind: str
) -> Response:
    """The list that /v1/embeddings and /pooling answer with, in the request's encoding."""
    field = "embedding" if kind == "embedding" else "data"
    if body.encoding_format in ("bytes", "bytes_only"):
        return _bytes_answer(head, rows, usage, body)
    values: Sequence[Any]
    if body.encoding_format == "base64":
        values = [base64_of(row) for row in encoded(rows, body.embed_dtype, body.endianness)]
    else:
        values = rows.tolist()
    data = [{"index": index, "object": kind, field: value} for index, value in enumerate(values)]
    return json_answer({**head, "data": data, "usage": usage})


def _bytes_answer(head: dict[str, Any], rows: Rows, usage: dict[str, Any], body: EncodedRequest) -> Response:
    chunks = encoded(rows, body.embed_dtype, body.endianness)
    size = len(chunks[0])
    data = [
        {
            "index": index,
            "embed_dtype": body.embed_dtype,
            "endianness": body.endianness,
            "start": index * size,
            "end": (index + 1) * size,
            "shape": [rows.shape[1]],
        }
        for index in range(len(chunks))
    ]
    metadata = {key: head[key] for key in ("id", "created", "model")} | {"data": data, "usage": usage}
    headers = {"metadata": json.dumps(metadata)} if body.encoding_format == "bytes" else {}
    return Response(b"".join(chunks), media_type="application/octet-stream", headers=headers)
