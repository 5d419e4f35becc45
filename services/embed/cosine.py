"""Scores a pair by the cosine of its two embeddings, as a bi-encoder does."""

from collections.abc import Sequence
from itertools import chain

import numpy as np
from fastapi import Request

from services.encoder.encoder_model import EncoderModel
from services.encoder.encodings import l2_normalize
from services.encoder.score_routes import Scored
from services.encoder.tokenizer import Truncation, slices
from services.protocol.scoring import Scale, ScoringRequest


class CosineScorer:
    """Ignores `use_activation`: a cosine lies between -1 and 1 without one."""

    def __init__(self, model: EncoderModel) -> None:
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
        left_slices = (tokenizer.encode(queries[part], asked) for part in slices(map(len, queries)))
        right_slices = (tokenizer.encode(documents[part], read_cut) for part in slices(map(len, documents)))
        read = await self.model.read(request, chain(left_slices, right_slices))
        vectors = l2_normalize(read.rows)
        left, right = vectors[: len(queries)], vectors[len(queries) :]
        # each text is counted once, however many pairs it is in: so vLLM 0.32 answers
        return Scored((left * right).sum(axis=1, dtype=np.float32), read.tokens)
