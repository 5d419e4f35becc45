"""Messages to a prompt by the model's own Jinja chat template."""

from collections.abc import Mapping, Sequence
from typing import Any

import jinja2

from services.errors import BadRequestError
from services.weights.sandbox import compile_template


class ChatTemplate:
    def __init__(self, source: str | None, special_tokens: Mapping[str, str]) -> None:
        """special_tokens: values of bos_token, eos_token and the like, for the template."""
        self._template = None if source is None else compile_template(source)
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
    """The prompt up to the end of the last message's content, which the model continues."""
    content = str(last.get("content") or "")
    at = text.rfind(content.strip())
    if at < 0:
        raise BadRequestError(
            "continue_final_message is set, but the chat template does not show the final message as it is."
        )
    end = at + len(content.strip())
    tail = content[len(content.rstrip()) :]
    return text[:end] + tail if text.startswith(tail, end) else text[:end]
