"""How a pair gets its score: read together by a cross-encoder, or apart by a bi-encoder and compared."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from fastapi import Request
from numpy.typing import NDArray

from services.embed.vectors import normalized
from services.encoder.model import Model
from services.encoder.tokenizer import Truncation
from services.protocol.scoring import Scale, ScoringRequest
from services.score.activation import activated
from services.score.template import ScoreTemplate, template_variables


@dataclass(frozen=True, slots=True)
class Scored:
    scores: NDArray[np.float32]
    """(n,), in the order of the documents."""
    tokens: int


class Scorer(Protocol):
    model: Model

    def scale(self, use_activation: bool | None) -> Scale: ...

    async def score(
        self, request: Request, queries: Sequence[str], documents: Sequence[str], body: ScoringRequest, cut: Truncation
    ) -> Scored:
        """Scores documents against one query, or against one each."""


class CrossScorer:
    """Of encoders, joined by their separator; of decoders, through the preset's template."""

    def __init__(self, model: Model) -> None:
        self.model = model
        preset = model.checkpoint.preset
        self._template = ScoreTemplate.of(preset) if preset is not None else None

    def scale(self, use_activation: bool | None) -> Scale:
        return "logit" if use_activation is False else self.model.checkpoint.scale

    async def score(
        self, request: Request, queries: Sequence[str], documents: Sequence[str], body: ScoringRequest, cut: Truncation
    ) -> Scored:
        template, tokenizer = self._template, self.model.tokenizer
        if template is None:
            read = await self.model.read(request, lambda: tokenizer.encode_pairs(queries, documents, cut))
        else:
            variables = template_variables(body.instruction, body.chat_template_kwargs)
            read = await self.model.read(
                request, lambda: template.encode(tokenizer, queries, documents, cut, variables)
            )
        scores = activated(read.rows, self.model.checkpoint.activation, body.use_activation)
        return Scored(scores[:, 0], read.tokens)


class CosineScorer:
    """`use_activation` says nothing about a cosine, which lies between -1 and 1 as it is."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def scale(self, use_activation: bool | None) -> Scale:
        del use_activation
        return "cosine"

    async def score(
        self, request: Request, queries: Sequence[str], documents: Sequence[str], body: ScoringRequest, cut: Truncation
    ) -> Scored:
        del body
        tokenizer = self.model.tokenizer
        asked = Truncation(cut.limit, cut.side, per_query=cut.per_query)
        read_cut = Truncation(cut.limit, cut.side, per_query=cut.per_document)
        read = await self.model.read(
            request, lambda: [*tokenizer.encode(queries, asked), *tokenizer.encode(documents, read_cut)]
        )
        vectors = normalized(read.rows)
        left, right = vectors[: len(queries)], vectors[len(queries) :]
        # each text is counted once, however many pairs it is in: so vLLM 0.32 answers
        return Scored((left * right).sum(axis=1, dtype=np.float32), read.tokens)
