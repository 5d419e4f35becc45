"""Asks an entailment model, where there is one, about the claims that the rules of `verify` leave open.

Any sequence classifier of premise and hypothesis serves, as those trained on MNLI, or on "grounded" against
"hallucinated". What a label means is told by its name, never by its place.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from app.answer.breaker import Breaker
from app.answer.trace import Trace
from app.answer.verdict import Outcome, Verdict
from services.client import EntailmentClient
from services.errors import EngineError

MAX_QUOTES = 4
"""Quotes that are read for one claim: those that hold most of its words."""
ENOUGH = 0.5
"""The least probability of a label that decides."""
_MEANINGS: dict[str, Outcome] = {
    **dict.fromkeys(
        ("entailment", "entailed", "supported", "supports", "grounded", "consistent", "factual"), "entailed"
    ),
    **dict.fromkeys(("contradiction", "contradicted", "contradicts", "refuted", "refutes"), "contradicted"),
    **dict.fromkeys(("neutral", "not_entailment", "not_supported", "not_enough_info", "nei"), "unsupported"),
    **dict.fromkeys(("hallucinated", "hallucination", "ungrounded", "inconsistent", "unsupported"), "unsupported"),
}


@dataclass(frozen=True, slots=True)
class Entailment:
    client: EntailmentClient
    breaker: Breaker

    async def settle(self, claim: str, found: Sequence[tuple[str, Verdict]], trace: Trace) -> list[Verdict]:
        """Return the verdicts of premises, those that are open decided by the model.

        They stay as they were where it fails, and where the rules found one that carries the claim or contradicts it.
        """
        verdicts = [verdict for _, verdict in found]
        of_open = [i for i, verdict in enumerate(verdicts) if verdict.is_open]
        chosen = sorted(of_open, key=lambda i: -verdicts[i].score)[:MAX_QUOTES]
        if chosen and not any(verdict.verified or verdict.support == "contradicted" for verdict in verdicts):
            with trace.optional("verify"):
                async with self.breaker.guard():
                    pairs = [(found[i][0], claim) for i in chosen]
                    read = await self.client.labels(pairs, deadline=trace.deadline_of("verify"))
                for i, labels in zip(chosen, read, strict=True):
                    verdicts[i] = _decided(verdicts[i], labels)
        return verdicts


def _decided(verdict: Verdict, labels: dict[str, float]) -> Verdict:
    """Raises EngineError for labels of which none is known to mean entailment."""
    meant = {label: _MEANINGS.get(label.casefold().replace(" ", "_").replace("-", "_")) for label in labels}
    if "entailed" not in meant.values():
        raise EngineError(
            f"the verify service tells {', '.join(labels)} apart, none of which is known to mean entailment; name them "
            "in id2label of the model's config.json"
        )
    label = max(labels, key=lambda each: labels[each])
    outcome = meant[label]
    if outcome in ("entailed", "contradicted") and labels[label] >= ENOUGH:
        why = "" if outcome == "entailed" else "the entailment model says the opposite"
        return replace(verdict, support=outcome, why=why, score=labels[label], is_open=False)
    return verdict
