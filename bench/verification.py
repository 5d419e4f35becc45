"""How often `verified` is wrong: sentences of documents made false in one place, and true ones in other words.

    python -m bench.verification ../shared/data/squad_dev          any folder in BEIR layout
    python -m bench.verification ../shared/data/pubmedqa --show negation

Each claim is checked against the passage that its sentence was taken from. False pass: a false claim that is verified.
False strip: a true claim that is not. No model is asked; the claims are the same for the same --seed.
"""

import argparse
import json
import math
import random
import time
from collections.abc import Iterator
from pathlib import Path

from app.answer.verify import verify
from app.evaluate.mutations import FALSE, TRUE, Claim, claims


def claims_of(folder: Path, documents: int, seed: int) -> Iterator[Claim]:
    dice = random.Random(seed)
    rows = [json.loads(line) for line in (folder / "corpus.jsonl").open()]
    sampled = dice.sample(rows, min(documents, len(rows)))
    return claims(((row.get("title", ""), row["text"]) for row in sampled), dice)


def interval(wrong: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    z, p = 1.96, wrong / n
    centre, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max((centre - half) / (1 + z * z / n), 0.0), (centre + half) / (1 + z * z / n)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="+")
    parser.add_argument("--documents", type=int, default=600, help="passages taken from each folder")
    parser.add_argument("--seed", type=int, default=17)
    parser.add_argument("--show", default="", help="print the claims of this kind on which the verifier errs")
    options = parser.parse_args()
    counted: dict[str, list[int]] = {kind: [0, 0] for kind in (*FALSE, *TRUE)}
    spent = 0.0
    for folder in options.folder:
        for claim in claims_of(folder, options.documents, options.seed):
            began = time.process_time()
            verdict = verify(claim.text, claim.passage, heading=claim.heading)
            spent += time.process_time() - began
            wrong = verdict.verified == (claim.kind in FALSE)
            counted[claim.kind][0] += wrong
            counted[claim.kind][1] += 1
            if wrong and claim.kind == options.show:
                print(f"{claim.text}\n    {claim.sentence}\n    {verdict.why}")
    print(f"{'kind':24} {'wrong':>6} {'of':>6} {'share':>7}   95 %")
    for name, kinds in (("false pass", FALSE), ("false strip", TRUE)):
        total = [sum(counted[kind][i] for kind in kinds) for i in (0, 1)]
        for kind, (wrong, n) in [*((kind, counted[kind]) for kind in kinds), (f"all: {name}", total)]:
            if n:
                low, high = interval(wrong, n)
                print(f"{kind:24} {wrong:6} {n:6} {wrong / n:7.1%}   {low:.1%} - {high:.1%}")
    print(f"{spent / max(sum(n for _, n in counted.values()), 1) * 1e3:.2f} ms CPU a claim")


if __name__ == "__main__":
    main()
