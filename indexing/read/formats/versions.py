"""The version of each format's reader: raise it where the reader gives another text than before.

A document keeps the reader that made it, such as "pdf 2": `ragline index --reread` finds those of older ones by it.
"""

_VERSIONS = {
    "csv": 2, "doc_ppt": 1, "docx": 2, "eml": 2, "epub": 2, "html": 2, "ical": 1, "json": 2, "jsonl": 2, "mbox": 2,
    "msg": 2, "odf": 2, "pdf": 2, "pptx": 2, "rtf": 2, "text": 2, "xlsx": 2, "xml": 1,
}  # fmt: skip


def reader_of(loader: str) -> str:
    return f"{loader} {_VERSIONS[loader]}"


CURRENT = frozenset(map(reader_of, _VERSIONS))
