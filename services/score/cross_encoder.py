"""Scores a pair by reading its two texts together, as a cross-encoder does."""

from collections.abc import Sequence

from fastapi import Request

from services.encoder.encoder_model import EncoderModel
from services.encoder.score_routes import Scored
from services.encoder.tokenizer import Truncation
from services.protocol.scoring import Scale, ScoringRequest
from services.score.activation import apply_activation
from services.score.score_template import ScoreTemplate, template_variables


class CrossEncoderScorer:
    """Joins a pair by the separator for encoder models, and by the preset's template for decoders."""

    def __init__(self, model: EncoderModel) -> None:
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
            read = await self.model.read(request, tokenizer.encode_pairs(queries, documents, cut))
        else:
            variables = template_variables(body.instruction, body.chat_template_kwargs)
            read = await self.model.read(request, template.encode(tokenizer, queries, documents, cut, variables))
        scores = apply_activation(read.rows, self.model.checkpoint.activation, body.use_activation)
        return Scored(scores[:, 0], read.tokens)
