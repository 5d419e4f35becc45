"""FAISS without types, for its stubs lack most of its Python wrapper."""

from typing import Any

import faiss as _faiss

faiss: Any = _faiss
