"""PDFs without a text layer: refused with the way out, or read by docling where it is installed and asked for."""

import io
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pypdfium2 as pdfium
import pytest

from indexing.chunk import ChunkerSettings
from indexing.errors import UnreadableError
from indexing.read.formats.extract import Limits
from indexing.read.formats.load import load_bytes
from indexing.read.pool import Parsers, ParserSettings
from services.errors import EngineError

SETTINGS = ParserSettings(ChunkerSettings(64, 0, None), Limits(), workers=1, timeout_s=60, memory_bytes=2**31)


@pytest.fixture
def blank() -> bytes:
    document = pdfium.PdfDocument.new()
    document.new_page(300, 300)
    stream = io.BytesIO()
    document.save(stream)
    document.close()
    return stream.getvalue()


def test_a_scan_is_refused_with_the_way_out(blank: bytes) -> None:
    with pytest.raises(UnreadableError, match=r"pip install ragline\[docling\].*index\.scan_models"):
        list(load_bytes(blank, "scan.pdf"))


async def refusal(limits: Limits, tmp_path: Path) -> str:
    (tmp_path / "a.txt").write_text("words")
    async with Parsers(replace(SETTINGS, limits=limits)) as parsers:
        with pytest.raises(EngineError) as caught:
            await anext(parsers.file(tmp_path / "a.txt"))
    return str(caught.value)


@pytest.mark.anyio
@pytest.mark.skipif(find_spec("docling") is not None, reason="docling is installed")
async def test_without_docling_no_parser_starts_and_the_reason_is_named(tmp_path: Path) -> None:
    assert "docling is missing: pip install ragline[docling]" in await refusal(Limits(scan_models="/models"), tmp_path)


@pytest.mark.anyio
@pytest.mark.skipif(find_spec("docling") is None, reason="OCR is not tested: pip install 'ragline[docling]'")
async def test_without_its_models_no_parser_starts_and_the_folder_is_named(tmp_path: Path) -> None:
    limits = Limits(scan_models=str(tmp_path / "none"))
    assert f"docling cannot load its models from {tmp_path}/none" in await refusal(limits, tmp_path)
