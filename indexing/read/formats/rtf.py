"""RTF by striprtf."""

from striprtf.striprtf import rtf_to_text

from indexing.errors import UnreadableError
from indexing.read.formats.extract import Extract, Limits, require_chars, tidy


def load(content: bytes, media_type: str, limits: Limits) -> Extract:
    del media_type
    try:
        text = tidy(rtf_to_text(content.decode("latin-1"), errors="ignore"))  # type: ignore[no-untyped-call]
    except (ValueError, IndexError, KeyError, LookupError) as exc:
        raise UnreadableError(f"broken RTF: {exc}") from exc
    if not text:
        raise UnreadableError("no text: it holds only pictures or nothing")
    require_chars(len(text), limits)
    return Extract(text)
