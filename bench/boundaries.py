"""Which chunk boundaries within a page of a PDF stand inside a sentence.

    python bench/boundaries.py FOLDER [--tokens 256] [--show]

A boundary is right after the end of a sentence, with its closing quotes and brackets, and at the end of a line (a
paragraph, item, row or heading) unless the next begins in lower case. With --show, prints the boundaries that are not.
"""

import argparse
import re
from itertools import pairwise
from pathlib import Path

from indexing.chunk import Chunker, ChunkerSettings
from indexing.errors import UnreadableError
from indexing.read.formats.load import load

ENDS = re.compile("[.!?:;\u2026\u3002\uff01\uff1f\u061f\u0964][\"'\u201d\u2019\xbb)\\]\u300d\u300f*_]*\\s*\\Z")


def inside(text: str, end: int) -> bool:
    """Whether a chunk that ends here ends within a sentence."""
    rest = text[end:].lstrip()
    between = text[end : len(text) - len(rest)]
    return not ENDS.search(text[max(end - 20, 0) : end]) and ("\n" not in between or rest[:1].islower())


def main(folder: Path, tokens: int, *, show: bool) -> None:
    chunker = Chunker(ChunkerSettings(tokens, 0, None))
    total = wrong = 0
    for path in sorted(folder.rglob("*.pdf")):
        try:
            (document,) = load(path)
        except UnreadableError:
            continue
        chunks, _ = chunker.chunks(document)
        ends = [chunk.end for chunk, after in pairwise(chunks) if chunk.page == after.page]
        bad = [end for end in ends if inside(document.text, end)]
        total, wrong = total + len(ends), wrong + len(bad)
        if bad:
            print(f"{len(bad):5} of {len(ends):5}  {path.name}")
        for end in bad if show else ():
            print(f"      {document.text[max(end - 60, 0) : end]!r} | {document.text[end : end + 40]!r}")
    print(f"{wrong:5} of {total:5}  {100 * wrong / max(total, 1):.1f} %")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--show", action="store_true")
    options = parser.parse_args()
    main(options.folder, options.tokens, show=options.show)
