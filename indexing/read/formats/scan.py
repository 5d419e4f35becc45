"""PDFs without a text layer, read by docling (OCR and layout models): an extra, off by default.

The models come from a folder, as a parser process may not use the network.
"""

from functools import cache
from io import BytesIO
from typing import Any

from indexing.errors import IndexingError, NoTextError, UnreadableError
from indexing.read.formats.extract import Extract, Limits, joined_pages, tidy


def prepare(models: str) -> None:
    """Load the models, before the process is confined. Raises IndexingError where docling or the models are missing."""
    converter = _converter(models)
    from docling.datamodel.base_models import InputFormat  # noqa: PLC0415

    try:
        converter.initialize_pipeline(InputFormat.PDF)
    except Exception as exc:
        reason = str(exc).partition("\n")[0]
        raise IndexingError(f"docling cannot load its models from {models} (index.scan_models): {reason}") from exc


def load(content: bytes, limits: Limits) -> Extract:
    from docling.datamodel.base_models import DocumentStream  # noqa: PLC0415
    from docling.exceptions import ConversionError  # noqa: PLC0415

    stream = DocumentStream(name="scan.pdf", stream=BytesIO(content))
    try:
        read = _converter(limits.scan_models).convert(stream, max_num_pages=limits.max_pages).document
    except ConversionError as exc:
        raise UnreadableError(f"no text layer, and docling cannot read it: {exc}") from exc
    pages = [tidy(read.export_to_markdown(page_no=number)) for number in sorted(read.pages)]
    if not any(pages):
        raise NoTextError("no text: it has no text layer, and docling finds no text in its pages")
    text, starts = joined_pages(pages, limits)
    return Extract(text, "", starts, {"ocr": True})


@cache
def _converter(models: str) -> Any:
    try:
        from docling.datamodel.base_models import InputFormat  # noqa: PLC0415
        from docling.datamodel.pipeline_options import OcrAutoOptions, OcrMode, PdfPipelineOptions  # noqa: PLC0415
        from docling.document_converter import DocumentConverter, PdfFormatOption  # noqa: PLC0415
    except ModuleNotFoundError as exc:
        raise IndexingError(
            f"index.scan_models is set, and {exc.name} is missing: pip install ragline[docling]"
        ) from exc
    ocr = OcrAutoOptions(mode=OcrMode.FULL_PAGE)
    options = PdfPipelineOptions(artifacts_path=models, do_ocr=True, ocr_options=ocr)
    return DocumentConverter(
        allowed_formats=[InputFormat.PDF], format_options={InputFormat.PDF: PdfFormatOption(pipeline_options=options)}
    )
