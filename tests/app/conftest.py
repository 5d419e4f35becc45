"""The small embedding service of the tests of indexing."""

from tests.indexing.conftest import embed_server

__all__ = ["embed_server"]
