"""What an index was built with: kept inside it, and compared with what a caller asks for."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from indexing.errors import DamagedIndexError, IndexMismatchError

FORMAT_VERSION = 1
_DERIVED = {"vectors", "language"}


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
    """A FAISS factory string, or "auto" by size."""
    language: str = "english"
    """Of BM25's stemming and stop words."""
    format_version: int = FORMAT_VERSION

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str, path: Path) -> "Manifest":
        """Raises IndexMismatchError for another version's index, and DamagedIndexError for no manifest at all."""
        try:
            values = json.loads(text)
            version = values["format_version"]
        except (ValueError, KeyError, TypeError) as exc:
            raise DamagedIndexError(f"the manifest of {path} is not readable: restore a snapshot of it") from exc
        if version != FORMAT_VERSION:
            raise IndexMismatchError(_refusal(path, [("format_version", version, FORMAT_VERSION)]))
        try:
            return cls(**values)
        except TypeError as exc:
            raise DamagedIndexError(f"the manifest of {path} has unknown fields: {sorted(values)}") from exc

    def differences(self, wanted: "Manifest") -> list[tuple[str, object, object]]:
        """(field, value of the index, value wanted) of each field that differs."""
        pairs = ((field.name, getattr(self, field.name), getattr(wanted, field.name)) for field in fields(self))
        return [(name, have, want) for name, have, want in pairs if have != want]

    def needs_embedding(self, wanted: "Manifest") -> bool:
        """Whether it takes new chunks or vectors to become what is wanted; other indexes over them are made without."""
        return any(name not in _DERIVED for name, _, _ in self.differences(wanted))

    def check(self, wanted: "Manifest", path: Path, way_out: str = "") -> None:
        """Raises IndexMismatchError where the index cannot serve what is wanted."""
        if found := self.differences(wanted):
            raise IndexMismatchError(_refusal(path, found, way_out))


def _refusal(path: Path, found: list[tuple[str, object, object]], way_out: str = "") -> str:
    parts = "; ".join(f"{name} is {have!r} in the index, but {want!r} is asked for" for name, have, want in found)
    reindex = (
        f"Run `ragline index reindex --collection {path.name}` to build it anew with what is asked for (searches go on"
        " meanwhile), or set these values back"
    )
    return f"collection {path.name!r} was built otherwise: {parts}. {way_out or reindex}"
