"""Reads a request's body into the pipeline's Query and Question, with the settings' defaults."""

from dataclasses import replace

from app.answer.followups import in_conversation
from app.answer.passages import Query
from app.answer.prompt import Question
from app.answer.trace import Trace
from app.http.orchestrator import Orchestrator
from app.http.schema import MAX_TOP_N, AskBody, RetrievalBody
from services.errors import TooLargeError


async def query_in_conversation(body: AskBody, here: Orchestrator, trace: Trace) -> Query:
    """Search for `searched_for` where it is given, else for the last turn with words of the turn before."""
    query = await query_of(body, body.text, here, trace)
    if body.searched_for is None:
        return in_conversation(query, question_of(body, here).history)
    _check_length(body.searched_for, here)
    return replace(query, text=body.searched_for)


async def query_of(body: RetrievalBody, text: str, here: Orchestrator, trace: Trace) -> Query:
    """Fill in the settings' defaults. The cross-encoder reads at least as many candidates as are kept."""
    defaults = here.settings.ask
    _check_length(text, here)
    top_k, top_n = _renamed(body, trace)
    top_n = top_n or defaults.top_n
    depth = defaults.rerank_depth if body.rerank_depth is None else body.rerank_depth
    if not body.rerank or depth == 0:
        depth = 0
    elif depth < top_n:
        if body.rerank_depth is not None:
            trace.warnings.append(f"rerank: rerank_depth {depth} is less than top_n, so {top_n} candidates were read")
        depth = top_n
    return Query(
        text=text,
        collection=body.collection or await here.library.default(),
        filters=body.filters,
        top_k=max(top_k or defaults.top_k, top_n),
        rerank_depth=depth,
        top_n=top_n,
        min_score=defaults.min_score if body.min_score is None else body.min_score,
    )


def _check_length(text: str, here: Orchestrator) -> None:
    most = here.settings.server.max_question_chars
    if len(text) > most:
        raise TooLargeError(
            f"the question has {len(text)} characters, more than server.max_question_chars = {most}; add long texts as "
            "documents, and ask about them"
        )


def _renamed(body: RetrievalBody, trace: Trace) -> tuple[int | None, int | None]:
    """Return top_k and top_n; through 0.2 of a body in the old names, retrieve_k and top_k, with a warning."""
    top_k, top_n = body.top_k, body.top_n
    if body.retrieve_k is not None:
        trace.warnings.append("deprecated: retrieve_k is now top_k, and top_k is now top_n; 0.3 refuses retrieve_k")
        return body.retrieve_k, top_n or top_k
    if top_k is not None and top_n is None and top_k <= MAX_TOP_N:
        trace.warnings.append(
            "deprecated: top_k without top_n was read as top_n, the passages kept; from 0.3 on it is the hits of each "
            "search. Send top_n"
        )
        return None, top_k
    return top_k, top_n


def question_of(body: AskBody, here: Orchestrator) -> Question:
    defaults = here.settings.ask
    history = tuple(message.model_dump() for message in (body.messages or [])[:-1])
    sampling = {
        "max_tokens": body.max_tokens or defaults.max_tokens,
        "temperature": defaults.temperature if body.temperature is None else body.temperature,
    }
    return Question(body.text, history, sampling)
