"""What a collection was built with, and the comparison with what is asked for."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from indexing.errors import DamagedIndexError, IndexMismatchError

FORMAT_VERSION = 1
_DERIVED = {"vectors", "language"}
"""These say how the indexes are built, and not what is stored."""


@dataclass(frozen=True, slots=True)
class Manifest:
    embedding_model: str
    dimension: int
    query_prefix: str = ""
    document_prefix: str = ""
    chunk_tokens: int = 256
    chunk_overlap: int = 0
    chunker: str = ""
    vectors: str = "auto"
    """A FAISS factory string, or "auto": chosen by size."""
    language: str = "english"
    """Whose stemming and stop words BM25 uses."""
    format_version: int = FORMAT_VERSION

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str, path: Path) -> "Manifest":
        """Raises IndexMismatchError for another format version, and DamagedIndexError for text that is no manifest."""
        try:
            values = json.loads(text)
            version = values["format_version"]
        except (ValueError, KeyError, TypeError) as exc:
            raise DamagedIndexError(f"the manifest of {path} is not readable: restore a snapshot") from exc
        if version != FORMAT_VERSION:
            raise IndexMismatchError(
                f"collection {path.name!r} has format {version}, and this ragline reads {FORMAT_VERSION}: use the"
                " ragline that made it, or index its files into another collection"
            )
        try:
            return cls(**values)
        except TypeError as exc:
            raise DamagedIndexError(f"the manifest of {path} has unknown fields: {sorted(values)}") from exc

    def differences(self, wanted: "Manifest") -> list[tuple[str, object, object]]:
        """(field, own value, wanted value) of each field that differs."""
        pairs = ((field.name, getattr(self, field.name), getattr(wanted, field.name)) for field in fields(self))
        return [(name, have, want) for name, have, want in pairs if have != want]

    def needs_embedding(self, wanted: "Manifest") -> bool:
        """Whether chunks and vectors must be made again for `wanted`; else only the indexes must."""
        return any(name not in _DERIVED for name, _, _ in self.differences(wanted))

    def check_made_for(self, other: "Manifest | None", path: Path) -> None:
        """Raises IndexMismatchError where chunks and vectors that were made for the other do not belong here."""
        if other is not None and self.needs_embedding(other):
            self.check(other, path)

    def check(self, wanted: "Manifest", path: Path, remedy: str = "") -> None:
        """Raises IndexMismatchError where anything differs. `remedy` replaces the advice to reindex."""
        if found := self.differences(wanted):
            raise IndexMismatchError(_mismatch(path, found, remedy))


def _mismatch(path: Path, found: list[tuple[str, object, object]], remedy: str = "") -> str:
    parts = "; ".join(f"{name} is {have!r} in the index, but {want!r} is asked for" for name, have, want in found)
    reindex = (
        f"Run `ragline index reindex --collection {path.name}` to build it again (searches go on meanwhile), or set"
        " these values back"
    )
    return f"collection {path.name!r} was built with other settings: {parts}. {remedy or reindex}"
