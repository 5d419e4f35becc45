"""Errors of indexing. Each inherits its HTTP status and type from an error of services.

RaglineError
├── BadRequestError
│   ├── UnreadableError           no text can be extracted; the message says why in one sentence
│   │   └── NoTextError           whole, and without text: what was indexed of the file before is out of date
│   │       └── NotADocumentError binary data or empty; skipped without a failure where a folder is indexed
│   ├── FilterError               an invalid filter; the message names the part
│   ├── InvalidDocumentError      a document or its vectors that the store cannot hold
│   └── CollectionNameError       not a valid collection name
├── NotFoundError
│   ├── UnknownCollectionError
│   └── UnknownJobError
├── ConflictError
│   └── IndexMismatchError        the index was built with other settings; the message says what to run
├── UnavailableError
│   └── IndexBusyError            another process holds the write lock
└── IndexingError                 500
    ├── DamagedIndexError         a file is damaged or missing
    └── StorageError              507  disk full, read-only, I/O error; the write is rolled back
"""

from services.errors import BadRequestError, ConflictError, NotFoundError, RaglineError, UnavailableError


class UnreadableError(BadRequestError):
    """No text can be extracted: password, scan, too large, broken, ..."""

    type = "UnreadableDocumentError"


class NoTextError(UnreadableError):
    """Pictures alone, or nothing."""


class NotADocumentError(NoTextError):
    """Binary data, an image, an archive, or empty."""


class FilterError(BadRequestError):
    def __init__(self, message: str) -> None:
        super().__init__(message, param="filters")


class InvalidDocumentError(BadRequestError):
    type = "InvalidDocumentError"


class CollectionNameError(BadRequestError):
    def __init__(self, message: str) -> None:
        super().__init__(message, param="collection")


class UnknownCollectionError(NotFoundError):
    def __init__(self, message: str) -> None:
        super().__init__(message, param="collection")


class UnknownJobError(NotFoundError):
    pass


class IndexMismatchError(ConflictError):
    type = "IndexMismatchError"


class IndexBusyError(UnavailableError):
    type = "IndexBusyError"


class IndexingError(RaglineError):
    type = "IndexingError"


class DamagedIndexError(IndexingError):
    type = "DamagedIndexError"


class StorageError(IndexingError):
    status = 507
    type = "StorageError"
