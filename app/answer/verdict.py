"""What a passage says of a claim."""

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["quoted", "entailed", "unsupported", "contradicted"]
VERIFIED = frozenset[Outcome](("quoted", "entailed"))
Fault = tuple[Outcome, str]
"""An outcome that is not verified, and why."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a passage says of a claim; passage[start:end] is the quote."""

    support: Outcome
    why: str
    """What the quote lacks, "" where it carries the claim."""
    score: float
    """The share of the claim's terms that the quote holds; the probability, where an entailment model decided."""
    start: int
    end: int
    is_open: bool = False
    """The quote lacks words of the claim, but no name or number: it may say the same in other words."""

    @property
    def verified(self) -> bool:
        return self.support in VERIFIED

    @property
    def weight(self) -> tuple[bool, bool, bool, float]:
        """Orders what several quotes say of one claim: the highest is the verdict."""
        return self.verified, self.support == "contradicted", self.is_open, self.score


NOTHING = Verdict("unsupported", "says nothing that can be checked", 0.0, 0, 0)
