"""Errors of indexing, each under the error of the wire that it becomes.

RaglineError
├── BadRequestError
│   ├── UnreadableError           a file or upload that gives no text; the message is one sentence that says why
│   │   └── NotADocumentError     nothing to read in it by its nature; passed over quietly where a folder is indexed
│   ├── FilterError               a filter that means nothing; the message names the part
│   ├── InvalidDocumentError      a document or its vectors that the store cannot hold
│   └── CollectionNameError       not a name of a collection
├── NotFoundError
│   ├── UnknownCollectionError
│   └── UnknownJobError
├── ConflictError
│   └── IndexMismatchError        the index was built otherwise than asked; the message says what mends it
├── UnavailableError
│   └── IndexBusyError            another process is writing and does not let go
└── IndexingError                 500
    ├── DamagedIndexError         the files are not as we wrote them
    └── StorageError              507  disk full, read-only, I/O error; nothing of the write is kept
"""

from services.errors import BadRequestError, ConflictError, NotFoundError, RaglineError, UnavailableError


class UnreadableError(BadRequestError):
    """A file or upload that gives no text: password, scan, too large, broken, ..."""

    type = "UnreadableDocumentError"


class NotADocumentError(UnreadableError):
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
