"""JSON as text: notebooks cell by cell, anything else as indented "name: value" lines."""

import json
from collections.abc import Iterator
from typing import Any

from indexing.document import one_line
from indexing.errors import UnreadableError
from indexing.read.formats.charset import decode
from indexing.read.formats.extract import Extract, tidy
from indexing.read.formats.text import title_of

_MANY = 16
"""A longer list of numbers is replaced by its length: it is an embedding or a measurement."""


def parse(content: bytes) -> Any:
    """Raises UnreadableError with line and column of the mistake."""
    try:
        return json.loads(decode(content))
    except RecursionError as exc:
        raise UnreadableError("broken JSON: it is nested too deep") from exc
    except json.JSONDecodeError as exc:
        raise UnreadableError(f"broken JSON: {exc.msg} at line {exc.lineno}, column {exc.colno}") from exc
    except ValueError as exc:
        raise UnreadableError(f"broken JSON: {exc}") from exc


def load(value: Any) -> Extract:
    if isinstance(value, dict) and isinstance(value.get("cells"), list) and "nbformat" in value:
        text = _notebook(value)
    else:
        text = tidy(as_text(value))
    if not text:
        raise UnreadableError("empty: it has no values")
    title = value.get("title") if isinstance(value, dict) else None
    return Extract(text, one_line(title) if isinstance(title, str) else title_of(text))


def as_text(value: Any) -> str:
    return "\n".join(_lines(value, ""))


def _lines(value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _entry(f"{indent}{name}:", inner, indent)
    elif isinstance(value, list):
        if len(value) > _MANY and all(isinstance(item, int | float) for item in value):
            yield f"{indent}({len(value)} numbers)"
            return
        for item in value:
            yield from _entry(f"{indent}-", item, indent)
    elif value is not None:
        yield f"{indent}{value}"


def _entry(label: str, value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, dict | list):
        inner = list(_lines(value, indent + "  "))
        if inner:
            yield label
            yield from inner
    elif value is not None and value != "":
        yield f"{label} {value}"


def _notebook(notebook: dict[str, Any]) -> str:
    """Markdown cells unchanged; code and text outputs in fences."""
    language = notebook.get("metadata", {}).get("kernelspec", {}).get("language", "python")
    blocks = []
    for cell in notebook["cells"]:
        source = _joined(cell.get("source"))
        if cell.get("cell_type") == "code":
            blocks.append(f"```{language}\n{source}\n```")
            blocks += [f"```\n{text}\n```" for output in cell.get("outputs", []) if (text := _output(output))]
        else:
            blocks.append(source)
    return tidy("\n\n".join(blocks))


def _output(output: dict[str, Any]) -> str:
    text = output.get("text") or output.get("data", {}).get("text/plain")
    return _joined(text)[:2000]


def _joined(source: Any) -> str:
    return "".join(map(str, source)) if isinstance(source, list) else str(source or "")
