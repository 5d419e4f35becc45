"""A request's sampling fields to the engine's, checked as vLLM checks them and refused in its words."""

import logging
import math
import secrets
from collections.abc import Callable
from dataclasses import replace
from functools import cache

from services.engines.generator.interface import Feature, Sampling
from services.errors import BadRequestError, TooLargeError
from services.generate.deltas import TextRules
from services.generate.generator_model import GeneratorModel
from services.generate.structure import requested_structure
from services.protocol.generate import SamplingFields
from services.protocol.pooling import refuse_priority

log = logging.getLogger(__name__)

MIN_TEMPERATURE = 0.01
"""Below it, and above 0, numbers overflow; vLLM raises it silently too."""

MAX_STOPS = 64
"""Stop strings of a request; each is looked for after each token."""

_DEFAULTS = {
    "temperature": 1.0,
    "top_p": 1.0,
    "top_k": 0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}

_NEEDS: dict[str, Feature] = {"repetition_penalty": "penalties", "min_p": "min_p"}
"""Features without which a model's own default is dropped."""

_BOUNDS: tuple[tuple[str, Callable[[float], bool], str, bool], ...] = (
    # field, what must hold, what to say, whether vLLM names the field as the error's param
    ("presence_penalty", lambda v: -2 <= v <= 2, "must be in [-2, 2]", False),  # noqa: PLR2004
    ("frequency_penalty", lambda v: -2 <= v <= 2, "must be in [-2, 2]", False),  # noqa: PLR2004
    ("repetition_penalty", math.isfinite, "must be a finite number", False),
    ("repetition_penalty", lambda v: v > 0, "must be greater than zero", False),
    ("temperature", math.isfinite, "must be a finite number", True),
    ("temperature", lambda v: v >= 0, "must be non-negative", True),
    ("temperature", lambda v: v <= 2, "must be in [0, 2]", True),  # noqa: PLR2004
    ("top_p", lambda v: 0 < v <= 1, "must be in (0, 1]", True),
    ("top_k", lambda v: v >= -1, "must be 0 (disable), or at least 1", False),
    ("min_p", lambda v: 0 <= v <= 1, "must be in [0, 1]", False),
)


def field_error(message: str, param: str, value: object) -> BadRequestError:
    """An error of one field, in vLLM's form."""
    return BadRequestError(f"{message} (parameter={param}, value={value})", param=param)


def sampling_params(
    model: GeneratorModel, body: SamplingFields, *, max_tokens: int, n: int, logprobs: bool, times: int = 1
) -> list[Sampling]:
    """One for each of n choices, of which there are `times` as many in the request.

    Raises BadRequestError for what is out of bounds and for what the engine does not have, TooLargeError for n.
    """
    sampling = _sampling(model, body, max_tokens=max_tokens, n=n, logprobs=logprobs)
    if n > 1 and sampling.greedy:
        raise BadRequestError(f"n must be 1 when using greedy sampling, got {n}.")
    most = model.settings.max_documents
    if n * times > most:
        raise TooLargeError(f"the request's {n * times} choices are over max_documents = {most}.", param="n")
    return [replace(sampling, seed=(sampling.seed + index) % 2**63) for index in range(n)]


def _sampling(model: GeneratorModel, body: SamplingFields, *, max_tokens: int, n: int, logprobs: bool) -> Sampling:
    values = {name: _chosen(body, name, model) for name in _DEFAULTS}
    _check_lengths(body, max_tokens, n)
    for name, holds, rule, named in _BOUNDS:
        if not holds(values[name]):
            message = f"{name} {rule}, got {values[name]}."
            raise field_error(message, name, values[name]) if named else BadRequestError(message)
    _check_stops(body, model.vocabulary.size)
    _refuse_what_no_engine_has(body)
    temperature = values["temperature"]
    sampling = Sampling(
        max_tokens=max_tokens,
        temperature=MIN_TEMPERATURE if 0 < temperature < MIN_TEMPERATURE else temperature,
        top_p=values["top_p"],
        top_k=max(int(values["top_k"]), 0),
        min_p=values["min_p"],
        presence_penalty=values["presence_penalty"],
        frequency_penalty=values["frequency_penalty"],
        repetition_penalty=values["repetition_penalty"],
        seed=_seed(body.seed),
        min_tokens=body.min_tokens,
        stop_token_ids=(*(() if body.ignore_eos else model.folder.eos_token_ids), *(body.stop_token_ids or ())),
        logprobs=logprobs,
        structure=requested_structure(body),
    )
    _check_features(sampling, model.engine.features)
    return sampling


def _check_features(sampling: Sampling, features: frozenset[Feature]) -> None:
    """Raises BadRequestError for a feature that the engine lacks, except seed, which OpenAI too calls best effort."""
    wanted: dict[Feature, tuple[bool, str]] = {
        "logprobs": (sampling.logprobs, "logprobs"),
        "structure": (sampling.structure is not None, "response_format"),
        "penalties": (sampling.penalized, "repetition_penalty"),
        "min_p": (sampling.min_p > 0, "min_p"),
        "min_tokens": (sampling.min_tokens > 0, "min_tokens"),
    }
    for feature, (asked, param) in wanted.items():
        if asked and feature not in features:
            raise BadRequestError(f"this server's engine does not have {feature}; leave {param} out.", param=param)


def check_stream(body: SamplingFields) -> None:
    if body.stream_options and body.stream_options.model_fields_set and not body.stream:
        raise BadRequestError(
            "Stream options can only be defined when `stream=True`. (parameter=stream_options)", param="stream_options"
        )


def check_top_logprobs(sampling: Sampling, top: int, *, param: str) -> None:
    """Raises BadRequestError above 1: the engine gives the chosen token's logprob only, the highest if greedy."""
    plain = sampling.greedy and sampling.structure is None and not sampling.penalized and not sampling.min_tokens
    if top not in (0, 1) or (top == 1 and not plain):
        raise BadRequestError(
            f"the engine has the chosen token's logprob only; set {param} to 0, or to 1 with temperature 0.",
            param=param,
        )


def text_rules(body: SamplingFields) -> TextRules:
    return TextRules(stop_strings(body), body.skip_special_tokens, body.include_stop_str_in_output)


def _chosen(body: SamplingFields, name: str, model: GeneratorModel) -> float:
    """The request's value, else the model's where the engine has what it needs, else off."""
    given: float | None = getattr(body, name)
    default = model.folder.defaults.get(name, _DEFAULTS[name])
    if given is not None:
        return given
    if default != _DEFAULTS[name] and name in _NEEDS and _NEEDS[name] not in model.engine.features:
        _log_dropped(model.name, name, default)
        return _DEFAULTS[name]
    return default


@cache
def _log_dropped(model: str, name: str, value: float) -> None:
    """Once for each model and setting."""
    log.warning("%s asks for %s = %s in its generation_config.json; this engine does not have it", model, name, value)


def _seed(given: int | None) -> int:
    """A seed in [0, 2**63); random for None and for -1, as in vLLM."""
    return secrets.randbits(63) if given is None or given == -1 else given % 2**63


def _check_lengths(body: SamplingFields, max_tokens: int, n: int) -> None:
    if n < 1:
        raise BadRequestError(f"n must be at least 1, got {n}.")
    if max_tokens < 1:
        raise field_error(f"max_tokens must be at least 1, got {max_tokens}.", "max_tokens", max_tokens)
    if body.min_tokens < 0:
        raise BadRequestError(f"min_tokens must be greater than or equal to 0, got {body.min_tokens}.")
    if body.min_tokens > max_tokens:
        raise BadRequestError(
            f"min_tokens must be less than or equal to max_tokens={max_tokens}, got {body.min_tokens}."
        )


def _check_stops(body: SamplingFields, vocabulary_size: int) -> None:
    if len(stop_strings(body)) > MAX_STOPS:
        raise BadRequestError(f"stop has {len(stop_strings(body))} strings, over {MAX_STOPS}.", param="stop")
    if any(not text for text in stop_strings(body)):
        raise BadRequestError("stop cannot contain an empty string.")
    if outside := [token for token in body.stop_token_ids or () if not 0 <= token < vocabulary_size]:
        raise field_error(
            f"token_id(s) {outside} in stop_token_ids contain out-of-vocab token ids. "
            f"Vocabulary size: {vocabulary_size}",
            "stop_token_ids",
            outside,
        )


def stop_strings(body: SamplingFields) -> list[str]:
    return [body.stop] if isinstance(body.stop, str) else list(body.stop or ())


def _refuse_what_no_engine_has(body: SamplingFields) -> None:
    """Raises BadRequestError for fields that no engine implements."""
    for name in ("logit_bias", "allowed_token_ids", "bad_words", "use_beam_search", "logprob_token_ids"):
        if getattr(body, name):
            raise BadRequestError(f"this server's engine does not have {name}; leave it out.", param=name)
    if body.prompt_logprobs is not None:
        raise BadRequestError(
            "this server's engine does not have prompt_logprobs; leave it out.", param="prompt_logprobs"
        )
    refuse_priority(body.priority)
