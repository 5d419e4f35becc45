"""The tables of the SQLite file, from which the indexes beside it can be built again.

A document's chunks have consecutive ids from first_chunk on. Ids and keys are never used again: a document that is
replaced gets a new key, and its chunks new ids.
"""

APPLICATION_ID = 0x5241474C  # "RAGL"

_PAGES = (8192, 16384, 32768)
_FULL = 0.85
"""Share of a page that rows of vectors should fill."""
_ROW_BYTES = 12
"""Of a row, beside its vector."""


def page_bytes(dimension: int) -> int:
    """The smallest page size that rows of float32 vectors fill well, else the one that they fill best.

    A page of 8 kB holds five vectors of 384 dimensions, but only one of 1024, and is half empty then. A row that is
    longer than a page goes over several in any case.
    """
    row = 4 * dimension + _ROW_BYTES
    if row > _PAGES[0]:
        return _PAGES[0]
    share = {size: size // row * row / size for size in _PAGES}
    return next((size for size in _PAGES if share[size] >= _FULL), max(_PAGES, key=share.__getitem__))


MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        # What read the document; '' for one that was given as text.
        "ALTER TABLE documents ADD COLUMN reader TEXT NOT NULL DEFAULT 'unknown'",
        "CREATE INDEX documents_by_reader ON documents (reader)",
    ),
    ("CREATE INDEX documents_by_content ON documents (content_hash)",),
)
"""Statements that follow SCHEMA, by version: those past a file's `user_version` are run when it is opened.

A release appends to them, and changes neither them nor SCHEMA.
"""

SCHEMA = """
CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE documents (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    source TEXT NOT NULL,
    title TEXT NOT NULL,
    media_type TEXT NOT NULL,
    metadata TEXT NOT NULL,              -- JSON object
    pages TEXT NOT NULL,                 -- JSON array of start offsets
    content_hash TEXT NOT NULL,
    chars INTEGER NOT NULL,
    first_chunk INTEGER NOT NULL,
    chunks INTEGER NOT NULL,
    added REAL NOT NULL                  -- seconds since 1970
) STRICT;
CREATE INDEX documents_by_source ON documents (source);

CREATE TABLE counts (                    -- one row, for count(*) of a million rows takes longer than a search
    documents INTEGER NOT NULL,
    chunks INTEGER NOT NULL
) STRICT;
INSERT INTO counts VALUES (0, 0);
CREATE TRIGGER document_added AFTER INSERT ON documents BEGIN
    UPDATE counts SET documents = documents + 1, chunks = chunks + new.chunks;
END;
CREATE TRIGGER document_removed AFTER DELETE ON documents BEGIN
    UPDATE counts SET documents = documents - 1, chunks = chunks - old.chunks;
END;

CREATE TABLE metadata (                  -- for filters; kind: b(oolean), n(umber), s(tring)
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    value ANY NOT NULL,
    document INTEGER NOT NULL,
    PRIMARY KEY (name, kind, value, document)
) STRICT, WITHOUT ROWID;
CREATE INDEX metadata_by_document ON metadata (document);

CREATE TABLE texts (                     -- id: key * 2^20 + number of the block
    id INTEGER PRIMARY KEY,
    body BLOB NOT NULL                   -- zlib of UTF-8
) STRICT;

CREATE TABLE chunks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    document INTEGER NOT NULL,
    ordinal INTEGER NOT NULL,
    text TEXT NOT NULL,
    start INTEGER NOT NULL,
    stop INTEGER NOT NULL,
    page INTEGER,
    heading TEXT NOT NULL,
    hash BLOB NOT NULL                   -- first 16 bytes of sha256 of what was embedded
) STRICT;
CREATE INDEX chunks_by_hash ON chunks (hash);

CREATE TABLE vectors (
    id INTEGER PRIMARY KEY,              -- of the chunk
    vector BLOB NOT NULL                 -- float32, little-endian, L2-normalized
) STRICT;

CREATE TABLE dead (                      -- tombstones: deleted chunks that an index may still hold
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    document INTEGER NOT NULL,
    first_chunk INTEGER NOT NULL,
    last_chunk INTEGER NOT NULL
) STRICT;

CREATE TABLE segments (                  -- FAISS files; chunks past the last one are in the buffer
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    file TEXT NOT NULL,
    first_chunk INTEGER NOT NULL,
    last_chunk INTEGER NOT NULL,
    chunks INTEGER NOT NULL,
    factory TEXT NOT NULL,
    effort INTEGER NOT NULL,             -- nprobe or efSearch
    bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    deaths INTEGER NOT NULL              -- seq of the newest tombstone that the file has applied
) STRICT;

CREATE TABLE jobs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    total INTEGER,
    done INTEGER NOT NULL,
    chunks INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    message TEXT NOT NULL,
    params TEXT NOT NULL,                -- JSON object
    created REAL NOT NULL,
    updated REAL NOT NULL
) STRICT;

CREATE TABLE job_failures (
    job INTEGER NOT NULL,
    source TEXT NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (job, source)
) STRICT, WITHOUT ROWID;
"""
