"""`input` in its four forms (a text, texts, token ids, lists of token ids) to tokens."""

from collections.abc import Iterator, Sequence
from typing import cast

from services.encoder.encoder_model import EncoderModel
from services.encoder.tokenizer import slices
from services.engines.encoder.interface import Tokens
from services.errors import BadRequestError
from services.protocol.pooling import ChatInputRequest, InputRequest


def refuse_chat(body: ChatInputRequest | InputRequest) -> InputRequest:
    """Raises BadRequestError for `messages`: an encoder's tokenizer has no chat template."""
    if isinstance(body, ChatInputRequest):
        raise no_chat_template()
    return body


def no_chat_template() -> BadRequestError:
    return BadRequestError(
        "As of transformers v4.44, default chat template is no longer allowed, so you must provide a chat template if "
        "the tokenizer does not define one."
    )


def tokenize_input(model: EncoderModel, body: InputRequest, *, prefix: str = "") -> Iterator[Sequence[Tokens]]:
    """Checks the request's inputs; returns what tokenizes them, in slices. Raises BadRequestError, TooLargeError."""
    cut = model.truncation(body.truncate_prompt_tokens, body.truncation_side)
    given = body.input
    if isinstance(given, list) and not given:
        raise BadRequestError("You must pass at least one prompt")
    if isinstance(given, list) and isinstance(given[0], int):
        given = [given]
    texts = [given] if isinstance(given, str) else given
    model.check_inputs(texts, param="input")
    if all(isinstance(text, str) for text in texts):
        prefixed = [prefix + cast("str", text) for text in texts]
        return (
            model.tokenizer.encode(prefixed[part], cut, special=body.add_special_tokens)
            for part in slices(map(len, prefixed))
        )
    if prefix:
        raise BadRequestError(
            "input_type and prompt_name put a prefix before texts; token ids take none.", param="input"
        )
    ids = cast("list[list[int]]", texts)
    return (model.tokenizer.encode_ids(ids[part], cut) for part in slices(map(len, ids)))
