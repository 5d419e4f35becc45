"""FAISS, without types: its stubs lack most of what its Python wrapper has."""

from typing import Any

import faiss as _faiss

faiss: Any = _faiss
