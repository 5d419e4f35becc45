"""Structured outputs: what a request asks its text to look like, and whether the engine can hold it to that."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from services.engines.generator.interface import Sampling, Structure
from services.errors import BadRequestError
from services.generate.generator_model import GeneratorModel
from services.protocol.generate import SamplingFields


def requested_structure(body: SamplingFields) -> Structure | None:
    """None where neither is given. Raises BadRequestError for a constraint that is incomplete or not supported."""
    form, wanted = body.response_format, body.structured_outputs
    if form is not None and form.type == "json_object":
        return _json_schema({"type": "object"})
    if form is not None and form.type == "json_schema":
        if form.json_schema is None:
            raise BadRequestError(
                "When response_format type is 'json_schema', the 'json_schema' field must be provided. "
                "(parameter=response_format)",
                param="response_format",
            )
        return _json_schema(form.json_schema.json_schema or {})
    if wanted is None:
        return None
    given = {name: value for name in _STRUCTURES if (value := getattr(wanted, name)) is not None}
    if len(given) != 1:
        count = "multiple are" if given else "none are"
        raise BadRequestError(
            f"You must use one kind of structured outputs constraint but {count} specified.", param="structured_outputs"
        )
    return next(_STRUCTURES[name](value) for name, value in given.items())


async def check_structure(model: GeneratorModel, body: SamplingFields, sampling: Sampling) -> None:
    """Raises BadRequestError for a grammar that the engine cannot use, OverloadedError where it could not be tried."""
    if sampling.structure is None:
        return
    try:
        refusal = await model.engine.refusal(sampling.structure)
    except BadRequestError as exc:
        refusal = str(exc)
    if refusal:
        param = "response_format" if body.response_format else "structured_outputs"
        raise BadRequestError(f"{param} cannot be used: {refusal}", param=param)


def _json_schema(schema: str | Mapping[str, Any]) -> Structure:
    return Structure("json_schema", schema if isinstance(schema, str) else json.dumps(schema))


def _choice(texts: list[str]) -> Structure:
    if not texts:
        raise BadRequestError("structured_outputs.choice needs at least one text.", param="structured_outputs")
    return Structure("grammar", "root ::= " + " | ".join(json.dumps(text, ensure_ascii=False) for text in texts))


def _no_tags(_: str) -> Structure:
    raise BadRequestError(
        "structural_tag is not supported; use json, regex, choice or grammar.", param="structured_outputs"
    )


_STRUCTURES: dict[str, Callable[[Any], Structure | None]] = {
    "json_": _json_schema,
    "regex": lambda text: Structure("regex", text),
    "choice": _choice,
    "grammar": lambda text: Structure("grammar", text),
    "json_object": lambda on: _json_schema({"type": "object"}) if on else None,
    "structural_tag": _no_tags,
}
