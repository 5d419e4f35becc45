"""POST /verify."""

import asyncio

from fastapi import APIRouter, Request

from app.answer.claims import Checked, Claim, check, check_each, claims_of
from app.answer.passages import Query
from app.answer.trace import Trace
from app.http.orchestrator import Here, Orchestrator
from app.http.schema import MAX_CLAIMS, VerifyBody, VerifyOut
from app.http.tracing import concluded, traced
from app.http.wire import claim_out
from services.errors import DeadlineError, TooLargeError

router = APIRouter(tags=["verify"])


@router.post("/verify")
async def verify(body: VerifyBody, here: Here, request: Request) -> VerifyOut:
    """Check claims, or each sentence of a text, against the documents, or against passages that are sent along."""
    claims = _claims(body)
    with traced(request, "\n".join(claim.text for claim in claims), here) as trace:
        try:
            async with asyncio.timeout(trace.seconds):
                checked = await _check(body, claims, here, trace)
        except TimeoutError as exc:
            raise DeadlineError(
                f"{len(claims)} claims could not be checked within ask.deadline_s = {trace.seconds:g} s; send fewer"
            ) from exc
        return VerifyOut(
            results=[claim_out(claim, found) for claim, found in zip(claims, checked, strict=True)],
            degraded=trace.degraded,
            warnings=trace.warnings,
            timings_ms=concluded(trace, "done", here, here.bulkheads.searches),
        )


def _claims(body: VerifyBody) -> list[Claim]:
    if body.text is None:
        return [Claim(each.claim, 0, len(each.claim), each.claim) for each in body.claims or ()]
    claims = claims_of(body.text)
    if len(claims) > MAX_CLAIMS:
        raise TooLargeError(f"the text has {len(claims)} sentences, more than {MAX_CLAIMS}; send it in parts")
    return claims


async def _check(body: VerifyBody, claims: list[Claim], here: Orchestrator, trace: Trace) -> list[Checked]:
    passages = [None] * len(claims) if body.claims is None else [each.passage for each in body.claims]
    searched = [claim for claim, passage in zip(claims, passages, strict=True) if passage is None]
    found = check_each(here.pipeline, searched, await _query(body, here), trace) if searched else None
    checked = []
    for claim, passage in zip(claims, passages, strict=True):
        if passage is not None:
            checked.append(await check(here.pipeline, claim.text, passage, trace))
        elif found is not None:
            checked.append(await anext(found))
    return checked


async def _query(body: VerifyBody, here: Orchestrator) -> Query:
    """Search as /search does, without a rerank: the verifier reads all that is found."""
    collection = body.collection or await here.library.default()
    top_k = max(here.settings.ask.top_k, body.top_n)
    return Query("", collection, body.filters, top_k, rerank_depth=0, top_n=body.top_n, min_score=None)
