"""Writes the pipeline's types as the API's answers."""

from collections.abc import Sequence

from app.answer.citations import Citation
from app.answer.claims import Checked, Claim
from app.answer.passages import Passage
from app.answer.pipeline import AnswerDone
from app.answer.trace import Trace
from app.http.orchestrator import Orchestrator
from app.http.schema import CitationOut, ClaimOut, Done, Source, UsageOut
from app.http.tracing import concluded


def source_out(passage: Passage, *, with_text: bool = True) -> Source:
    chunk, hit = passage.chunk, passage.hit
    return Source(
        index=passage.index,
        document_id=chunk.document_id,
        chunk_id=chunk.id,
        title=chunk.title,
        url=chunk.source,
        page=passage.page_at(chunk.start),
        page_end=passage.page_at(chunk.end - 1),
        heading=chunk.heading,
        start=chunk.start,
        end=chunk.end,
        text=chunk.text if with_text else None,
        score=passage.score,
        score_scale="zscore" if passage.logit is None else "probability",
        rerank_score=passage.logit,
        dense_score=hit.dense_score,
        bm25_score=hit.bm25_score,
        rank_before=passage.rank_before,
        metadata=dict(chunk.metadata),
    )


def citation_out(citation: Citation, passages: Sequence[Passage]) -> CitationOut:
    passage = passages[citation.index - 1]
    chunk = passage.chunk
    return CitationOut(
        index=citation.index,
        document_id=chunk.document_id,
        chunk_id=chunk.id,
        title=chunk.title,
        url=chunk.source,
        page=passage.page_at(citation.quote_start),
        start=citation.start,
        end=citation.end,
        quote=citation.quote,
        quote_start=citation.quote_start,
        quote_end=citation.quote_end,
        verified=citation.verified,
        support=citation.support,
        support_score=citation.support_score,
    )


def claim_out(claim: Claim, checked: Checked) -> ClaimOut:
    verdict, passage = checked.verdict, checked.passage
    offset = passage.chunk.start if passage else 0
    return ClaimOut(
        claim=claim.text,
        start=claim.start,
        end=claim.end,
        support=verdict.support,
        support_score=round(verdict.score, 3),
        verified=verdict.verified,
        why=verdict.why,
        quote=checked.text[verdict.start : verdict.end],
        quote_start=offset + verdict.start,
        quote_end=offset + verdict.end,
        page=passage.page_at(offset + verdict.start) if passage else None,
        source=source_out(passage) if passage else None,
    )


def done_out(event: AnswerDone, trace: Trace, here: Orchestrator) -> Done:
    usage = event.usage
    return Done(
        answered=event.answered,
        outcome=event.outcome,
        answerability=event.answerability,
        missing=list(event.missing),
        form=event.form,
        finish_reason=event.finish_reason,
        usage=UsageOut(
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            total_tokens=usage.prompt_tokens + usage.completion_tokens,
        ),
        model=here.settings.generate.model_name,
        degraded=trace.degraded,
        warnings=trace.warnings,
        timings_ms=concluded(trace, event.finish_reason, here, here.bulkheads.questions),
    )
