"""RTF by striprtf."""

from striprtf.striprtf import rtf_to_text

from indexing.errors import UnreadableError
from indexing.read.formats.extract import Extract, Limits, tidy


def load(content: bytes, _media_type: str, _limits: Limits) -> Extract:
    try:
        text = tidy(rtf_to_text(content.decode("latin-1"), errors="ignore"))  # type: ignore[no-untyped-call]
    except (ValueError, IndexError, KeyError, LookupError) as exc:
        raise UnreadableError(f"broken RTF: {exc}") from exc
    return Extract(text)
