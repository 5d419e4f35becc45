"""Errors of indexing.

RaglineError
└── BadRequestError
    └── UnreadableError    a file or upload that gives no text; the message is one sentence that says why
"""

from services.errors import BadRequestError


class UnreadableError(BadRequestError):
    """A file or upload that gives no text: password, scan, image, too large, not a document, ..."""

    type = "UnreadableDocumentError"
