"""Rows of the engine as a client asked for them: normalized, cut to its dimensions, in its encoding.

Answers are mostly floats, and are written without a pydantic model of each one; large ones on a thread, item by item,
so that the event loop runs in between.
"""

import asyncio
import base64
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import ml_dtypes
import numpy as np
from fastapi import Response
from numpy.typing import NDArray
from pydantic_core import to_json

from services.engines.encoder.interface import Rows
from services.errors import BadRequestError
from services.protocol.pooling import EmbedDtype, EncodedRequest, Endianness
from services.weights.checkpoint import Checkpoint

BYTES: dict[int | str, dict[str, Any]] = {200: {"content": {"application/octet-stream": {}}}}
"""For routes that answer `encoding_format: bytes`."""


LARGE = 2**16
"""Values of an answer that take the event loop some 10 ms."""


async def json_response(content: dict[str, Any] | Iterable[Any], *, values: int) -> Response:
    """The answer; lists in it may be iterators. values: how many numbers it has, or words of text."""
    if values < LARGE:
        return Response(_json(content), media_type="application/json")
    return Response(await asyncio.to_thread(_json, content), media_type="application/json")


def _json(content: Any) -> bytes:
    if isinstance(content, dict):
        return b"{" + b",".join(to_json(name) + b":" + _json(value) for name, value in content.items()) + b"}"
    if isinstance(content, Iterable) and not isinstance(content, str):
        return b"[" + b",".join(to_json(item, inf_nan_mode="constants") for item in content) + b"]"
    return to_json(content, inf_nan_mode="constants")


async def rows_response(
    head: dict[str, Any], rows: Rows, usage: dict[str, Any], body: EncodedRequest, *, kind: str
) -> Response:
    """The response of /v1/embeddings and /pooling, in the request's encoding_format."""
    field = "embedding" if kind == "embedding" else "data"
    if body.encoding_format in ("bytes", "bytes_only"):
        return _bytes_response(head, rows, usage, body)
    values: Iterable[Any] = map(np.ndarray.tolist, rows)
    if body.encoding_format == "base64":
        values = map(to_base64, encode_rows(rows, body.embed_dtype, body.endianness))
    data = ({"index": index, "object": kind, field: value} for index, value in enumerate(values))
    return await json_response({**head, "data": data, "usage": usage}, values=rows.size)


def _bytes_response(head: dict[str, Any], rows: Rows, usage: dict[str, Any], body: EncodedRequest) -> Response:
    chunks = encode_rows(rows, body.embed_dtype, body.endianness)
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


def l2_normalize(rows: Rows) -> Rows:
    """Rows of length 1; a row of zeros stays zero."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Rows = rows / np.maximum(lengths, np.float32(1e-12))
    return unit


def to_embeddings(rows: Rows, checkpoint: Checkpoint, *, dimensions: int | None, use_activation: bool | None) -> Rows:
    """Truncates rows to `dimensions`; normalizes them unless the model or the request says not to."""
    if dimensions is not None:
        rows = rows[:, :dimensions]
    return l2_normalize(rows) if (checkpoint.normalize if use_activation is None else use_activation) else rows


def check_dimensions(dimensions: int | None, checkpoint: Checkpoint, *, width: int, name: str) -> None:
    """Raises BadRequestError for a length that the model was not trained for."""
    if dimensions is None:
        return
    allowed = checkpoint.matryoshka
    if not allowed:
        raise BadRequestError(
            f"Model {name!r} does not support Matryoshka embeddings; dimensions must be unset "
            f"(received dimensions={dimensions})."
        )
    if allowed != (0,) and dimensions not in allowed:
        raise BadRequestError(f"Model {name!r} has embeddings of {list(allowed)} dimensions, not of {dimensions}.")
    if not 1 <= dimensions <= width:
        raise BadRequestError(f"dimensions must be between 1 and {width}, not {dimensions}.")


def encode_rows(rows: Rows, dtype: EmbedDtype, endianness: Endianness) -> Sequence[bytes]:
    """Each row's bytes."""
    array = _CASTS[dtype](rows)
    if endianness == _FOREIGN and array.itemsize > 1:
        array = array.byteswap()
    return [row.tobytes() for row in array]


def to_base64(row: bytes) -> str:
    return base64.b64encode(row).decode("ascii")


def pack_bits(rows: Rows) -> NDArray[np.uint8]:
    """(n, width / 8): one bit a dimension, 1 where the value is above 0."""
    return np.packbits(rows > 0, axis=1)


def _float8(rows: Rows, dtype: Any, largest: float) -> NDArray[Any]:
    """Values out of the format's range become its largest; ml_dtypes alone would make them NaN or infinity."""
    return np.clip(rows, -largest, largest).astype(dtype)


_CASTS: dict[str, Callable[[Rows], NDArray[Any]]] = {
    "float32": lambda rows: np.ascontiguousarray(rows, dtype=np.float32),
    "float16": lambda rows: rows.astype(np.float16),
    "bfloat16": lambda rows: rows.astype(ml_dtypes.bfloat16),
    "fp8_e4m3": lambda rows: _float8(rows, ml_dtypes.float8_e4m3fn, 448.0),
    "fp8_e5m2": lambda rows: _float8(rows, ml_dtypes.float8_e5m2, 57344.0),
}
_FOREIGN = "big" if sys.byteorder == "little" else "little"
