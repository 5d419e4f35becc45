"""Decoder-only rerankers read a pair through a prompt of their own: a Jinja template, rendered in a sandbox.

Templates get `messages` of the roles query and document, and `instruction`, as vLLM's score templates do. Only the
document of a prompt that is too long is truncated: the model reads its score after what follows the document.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jinja2

from services.encoder.tokenizer import Tokenizer, Truncation, slices
from services.engines.encoder.interface import Tokens
from services.errors import BadRequestError
from services.presets import SCORE_TEMPLATES, Preset
from services.weights.sandbox import compile_template

REFUSED_KWARGS = frozenset({"chat_template", "tools", "tokenize", "messages"})


class ScoreTemplate:
    def __init__(self, source: str, *, instruction: str | None = None) -> None:
        self._template = compile_template(source)
        self._instruction = instruction

    @classmethod
    def of(cls, preset: Preset) -> "ScoreTemplate | None":
        if preset.score_template is None:
            return None
        source = (SCORE_TEMPLATES / preset.score_template).read_text(encoding="utf-8")
        return cls(source, instruction=preset.instruction)

    def render(self, query: str, document: str, variables: Mapping[str, Any]) -> str:
        """Raises BadRequestError for variables that the template does not take."""
        messages = [{"role": "query", "content": query}, {"role": "document", "content": document}]
        try:
            return self._template.render({"instruction": self._instruction, **variables, "messages": messages})
        except (jinja2.TemplateError, TypeError, ValueError) as exc:
            raise BadRequestError(f"the score template does not take this request: {exc}") from exc

    def encode(
        self,
        tokenizer: Tokenizer,
        queries: Sequence[str],
        documents: Sequence[str],
        cut: Truncation,
        variables: Mapping[str, Any],
    ) -> Iterator[list[Tokens]]:
        """One Tokens a document, in slices; a single query goes with all of them, and counts in each prompt."""
        asked = list(queries)
        if cut.per_query:
            for part in slices(map(len, queries)):
                asked[part] = tokenizer.shortened(queries[part], [cut.per_query] * len(queries[part]), "right")
                yield []
        asked *= len(documents) if len(queries) == 1 else 1
        for part in slices(len(q) + len(d) for q, d in zip(asked, documents, strict=True)):
            yield self._encode(tokenizer, asked[part], list(documents[part]), cut, variables)

    def _encode(
        self, tokenizer: Tokenizer, asked: Sequence[str], read: list[str], cut: Truncation, variables: Mapping[str, Any]
    ) -> list[Tokens]:
        if cut.per_document:
            read = tokenizer.shortened(read, [cut.per_document] * len(read), "right")
        if cut.limit is not None:
            read = self._fitting(tokenizer, asked, read, cut, variables)
        return tokenizer.encode([self.render(q, d, variables) for q, d in zip(asked, read, strict=True)], Truncation())

    def _fitting(
        self, tokenizer: Tokenizer, asked: Sequence[str], read: list[str], cut: Truncation, variables: Mapping[str, Any]
    ) -> list[str]:
        """Documents cut so that each prompt has at most cut.limit tokens."""
        limit = cut.limit or 0
        frames = tokenizer.lengths([self.render(q, "", variables) for q in asked])
        # the seam between the frame and the document may cost a token or two of its own
        rooms = [max(limit - frame - SEAM_TOKENS, 0) for frame in frames]
        prompts = tokenizer.lengths([self.render(q, d, variables) for q, d in zip(asked, read, strict=True)])
        short = tokenizer.shortened(read, rooms, cut.side or "right")
        return [s if length > limit else d for s, d, length in zip(short, read, prompts, strict=True)]


SEAM_TOKENS = 2


def template_variables(instruction: str | None, kwargs: Mapping[str, Any] | None) -> dict[str, Any]:
    """chat_template_kwargs, and instruction where they do not give it. Raises BadRequestError."""
    given = dict(kwargs or {})
    refused = sorted(REFUSED_KWARGS & given.keys())
    if refused:
        raise BadRequestError(f"chat_template_kwargs cannot set {', '.join(refused)}.", param="chat_template_kwargs")
    if instruction is not None:
        given.setdefault("instruction", instruction)
    return given
