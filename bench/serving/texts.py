"""Made text of a wanted number of tokens: plain English words, about one token each, never the same text twice."""

import random
from collections.abc import Iterator

WORDS = """
the of and to in a is that for it as was with be by on not he his but at are this have from or had an they
which one you were all her she there would their we him been has when who will no more if out so up said what
its about than into them can only other time new some could these two may first then do any like my now over
such our man me even most made after also did many off before must well back through years where much your way
down should because long each just state those people too mr how little good world make very year still see
own work men day get here old between both life being under three never know same last another while us might
great go come since against right came take used himself few house american use place during high without
again home around small however found mrs part school thought went say general once upon war every left does
course something fact water less public put thing almost hand enough far took head yet government system
better set told nothing night end why called eyes find going look asked later knew point next program city
business give group toward young days let room present word within side social given several face order second
possible national rather power money early feet though
""".split()  # noqa: SIM905  readable as text


class Texts:
    """Texts drawn with a seed, so that each contender reads the same."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def of(self, tokens: int) -> str:
        """A text of about so many tokens."""
        return " ".join(self._random.choices(WORDS, k=max(tokens, 1)))

    def even(self, count: int, tokens: int) -> list[str]:
        return [self.of(tokens) for _ in range(count)]

    def ragged(self, count: int, mean: int, longest: int = 480) -> list[str]:
        """Lengths as documents have them: log-normal, of this mean."""
        return [self.of(length) for length in self._lengths(count, mean, longest)]

    def _lengths(self, count: int, mean: int, longest: int) -> Iterator[int]:
        sigma = 0.8
        for _ in range(count):
            drawn = self._random.lognormvariate(0, sigma) * mean / 2.718281828 ** (sigma**2 / 2)
            yield min(max(int(drawn), 4), longest)
