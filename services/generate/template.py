"""Messages to a prompt: the model's own Jinja chat template, rendered in a sandbox as transformers renders it."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NoReturn

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from services.errors import BadRequestError


class ChatTemplate:
    def __init__(self, source: str | None, special_tokens: Mapping[str, str]) -> None:
        """special_tokens: bos_token, eos_token and the like, by which templates name them."""
        self._template = None if source is None else _compiled(source)
        self._special_tokens = dict(special_tokens)

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        add_generation_prompt: bool = True,
        continue_final_message: bool = False,
        variables: Mapping[str, Any] | None = None,
    ) -> str:
        """Raises BadRequestError for messages that the template does not take."""
        if self._template is None:
            raise BadRequestError("the model has no chat template; use /v1/completions.")
        if not messages:
            raise BadRequestError("Cannot apply chat template to an empty conversation. Provide at least one message.")
        given = self._special_tokens | dict(variables or {})
        given |= {"messages": messages, "add_generation_prompt": add_generation_prompt}
        try:
            text = self._template.render(given)
        except jinja2.TemplateError as exc:
            raise BadRequestError(f"the chat template does not take these messages: {exc}") from exc
        except (TypeError, KeyError, ValueError, AttributeError) as exc:
            raise BadRequestError(f"the chat template fails on these messages: {exc}") from exc
        return _open_ended(text, messages[-1]) if continue_final_message else text


def _open_ended(text: str, last: Mapping[str, Any]) -> str:
    """The prompt cut where the last message's content ends, so that the model goes on with it."""
    content = str(last.get("content") or "")
    at = text.rfind(content.strip())
    if at < 0:
        raise BadRequestError(
            "continue_final_message is set, but the chat template does not show the final message as it is."
        )
    end = at + len(content.strip())
    tail = content[len(content.rstrip()) :]
    return text[:end] + tail if text.startswith(tail, end) else text[:end]


def _compiled(source: str) -> jinja2.Template:
    """Raises BadRequestError for what is not a template."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols], autoescape=False
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = _now
    try:
        return environment.from_string(source)
    except jinja2.TemplateError as exc:
        raise BadRequestError(f"the model's chat template is wrong: {exc}") from exc


def _to_json(value: Any, ensure_ascii: bool = False, indent: int | None = None, **_: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent)


def _raise(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _now(form: str) -> str:
    return datetime.now().astimezone().strftime(form)


class _Generation(Extension):
    """`{% generation %}`, with which training templates mark the answer; here it means nothing."""

    tags = {"generation"}  # noqa: RUF012  as jinja2 declares it

    def parse(self, parser: Parser) -> nodes.Node | list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)
