"""Writes the markers of an answer as links, while it comes."""

import re
from collections.abc import Mapping

_MARKER = re.compile(r" \[(\d{1,3})\]")
_UNFINISHED = re.compile(r" (?:\[(?:\d{1,3})?)?$")


class Linked:
    """Turns " [2]" into " [[2]](URL)" for each number that has an address; a marker may come in several pieces."""

    def __init__(self, addresses: Mapping[int, str]) -> None:
        self._addresses = addresses
        self._held = ""

    def feed(self, piece: str) -> str:
        if not self._addresses:
            return piece
        text = self._held + piece
        unfinished = _UNFINISHED.search(text)
        end = unfinished.start() if unfinished else len(text)
        self._held = text[end:]
        return _MARKER.sub(self._link, text[:end])

    def finish(self) -> str:
        return self._held

    def _link(self, marker: re.Match[str]) -> str:
        address = self._addresses.get(int(marker[1]))
        return f" [[{marker[1]}]]({address})" if address else marker[0]
