"""Errors of indexing.

RaglineError
└── BadRequestError
    └── UnreadableError          a file or upload that gives no text; the message is one sentence that says why
        └── NotADocumentError    nothing to read in it by its nature; passed over quietly where a folder is indexed
"""

from services.errors import BadRequestError


class UnreadableError(BadRequestError):
    """A file or upload that gives no text: password, scan, too large, broken, ..."""

    type = "UnreadableDocumentError"


class NotADocumentError(UnreadableError):
    """Binary data, an image, an archive, or empty."""
