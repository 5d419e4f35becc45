"""Text or messages to the prompt's token ids, within the model's context; refused in vLLM's words."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from services.errors import BadRequestError, TooLargeError
from services.generate.generator_model import GeneratorModel
from services.generate.sampling import field_error
from services.protocol.chat import ChatFields, ChatMessage, ContentPart


@dataclass(frozen=True, slots=True)
class LengthLimits:
    """A request's limits of length. output: tokens asked for, 0 where it does not say."""

    output: int = 0
    output_param: str = "max_tokens"
    truncate: int | None = None
    side: Literal["left", "right"] | None = None


def check_length(model: GeneratorModel, length: LengthLimits) -> None:
    """Raises BadRequestError for an answer, or a truncation, beyond the context."""
    limit, name = model.max_model_len, length.output_param
    if length.output > limit:
        raise field_error(
            f"{name}={length.output} cannot be greater than max_model_len={limit}. Please request fewer output tokens.",
            name,
            length.output,
        )
    if length.truncate is not None and length.truncate > limit - length.output:
        most = f"max_model_len = {limit}"
        if length.truncate <= limit:
            most = f"max_model_len - {name} = {limit - length.output}"
        raise field_error(
            f"truncate_prompt_tokens={length.truncate} cannot be greater than {most}. "
            "Please request a smaller truncation size.",
            "truncate_prompt_tokens",
            length.truncate,
        )


def check_chars(model: GeneratorModel, count: int, what: str) -> None:
    """Raises TooLargeError above max_chars: tokenizing it would hold up all other requests."""
    if count > model.settings.max_chars:
        raise TooLargeError(f"the prompt has {count} {what}, over max_chars = {model.settings.max_chars}.")


def encode(model: GeneratorModel, text: str, length: LengthLimits, *, special: bool) -> list[int]:
    """Blocking. Raises BadRequestError, TooLargeError."""
    check_length(model, length)
    check_chars(model, len(text), "characters")
    most = model.max_model_len - length.output
    characters = most * model.vocabulary.max_chars_per_token
    if length.truncate is None and len(text) > characters:
        bound = f"(more than {characters} characters, which is the upper bound for {most} input tokens)"
        raise _too_long(model, length, f"{len(text)} characters {bound}", "input_text", len(text))
    return fit_to_context(model, model.vocabulary.encode(text, special=special), length)


def fit_to_context(model: GeneratorModel, ids: Sequence[int], length: LengthLimits) -> list[int]:
    """Token ids, truncated where the request says so. Raises BadRequestError for too many."""
    check_length(model, length)
    most = model.max_model_len - length.output
    if length.truncate is not None:
        ids = _cut(ids, most if length.truncate < 0 else length.truncate, length.side)
    if not ids:
        raise BadRequestError("The prompt cannot be empty: there is no token in it.", param="prompt")
    outside = next((i for i in ids if not 0 <= i < model.vocabulary.size), None)
    if outside is not None:
        raise BadRequestError(f"Token id {outside} is out of vocabulary")
    if len(ids) > most or len(ids) == model.max_model_len:
        raise _too_long(model, length, f"at least {most + 1} input tokens", "input_tokens", most + 1)
    return list(ids)


def _too_long(
    model: GeneratorModel, length: LengthLimits, contains: str, parameter: str, value: int
) -> BadRequestError:
    limit, total = model.max_model_len, ""
    if length.output:
        if parameter == "input_tokens":
            total = f", for a total of at least {limit + 1} tokens"
        asked = f"you requested {length.output} output tokens and your prompt contains {contains}{total}"
        advice = "reduce the length of the input prompt or the number of requested output tokens"
    else:
        excess = ", which exceeds this limit even without any output tokens" if parameter == "input_tokens" else ""
        asked = f"your prompt contains {contains}{excess}"
        advice = "reduce the length of the input prompt"
    return field_error(
        f"This model's maximum context length is {limit} tokens. However, {asked}. Please {advice}.", parameter, value
    )


def _cut(ids: Sequence[int], length: int, side: Literal["left", "right"] | None) -> Sequence[int]:
    """`right` keeps the first tokens; a generator's default is to keep the last."""
    if len(ids) <= length:
        return ids
    return ids[:length] if side == "right" else ids[len(ids) - length :]


def render_chat(model: GeneratorModel, chat: ChatFields, variables: Mapping[str, Any]) -> str:
    """The prompt that the model's chat template makes of the messages. Raises BadRequestError."""
    if chat.continue_final_message and chat.add_generation_prompt and "add_generation_prompt" in chat.model_fields_set:
        raise BadRequestError("Cannot set both `continue_final_message` and `add_generation_prompt` to True.")
    kwargs = chat.chat_template_kwargs or {}
    if chat.chat_template is not None or "chat_template" in kwargs:
        raise BadRequestError("Chat template is passed with request. Refused request with untrusted chat template.")
    refused = kwargs.keys() & {"tools", "documents", "messages", "tokenize"}
    if refused:
        raise BadRequestError(f"chat_template_kwargs cannot hold {min(refused)}.", param="chat_template_kwargs")
    return model.folder.template.render(
        [_message(message) for message in chat.messages],
        add_generation_prompt=chat.add_generation_prompt and not chat.continue_final_message,
        continue_final_message=chat.continue_final_message,
        variables={"tools": chat.tools, "documents": chat.documents, **variables, **kwargs},
    )


def _message(message: ChatMessage) -> dict[str, Any]:
    """As templates read it: text parts joined by newlines, calls' arguments as objects, developers as the system."""
    made: dict[str, Any] = message.model_dump(exclude_none=True, exclude={"content", "tool_calls"})
    if message.role == "developer":
        made["role"] = "system"
    made["content"] = _text(message.content)
    if message.tool_calls:
        made["tool_calls"] = [_call(call) for call in message.tool_calls]
    return made


def _text(content: str | list[ContentPart | str] | None) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    return "\n".join(part if isinstance(part, str) else _part(part) for part in content)


def _part(part: ContentPart) -> str:
    if part.type not in (None, "text", "input_text", "output_text") or part.text is None:
        raise BadRequestError(
            f"a message has a part of type {part.type!r}; the model reads text only.", param="messages"
        )
    return part.text


def _call(call: dict[str, Any]) -> dict[str, Any]:
    function = call.get("function")
    if not isinstance(function, dict) or not isinstance(function.get("arguments"), str):
        return call
    try:
        arguments = json.loads(function["arguments"] or "{}")
    except ValueError as exc:
        raise BadRequestError("a tool call's arguments are not JSON.", param="messages") from exc
    return {**call, "function": {**function, "arguments": arguments}}
