"""Our readers beside other libraries, over a folder of documents: one row a format.

    python bench/readers.py ../shared/data/formats kreuzberg=PYTHON docling=PYTHON
    python bench/readers.py    # a PDF of 500 pages and a sheet of 50,000 rows, made here

PYTHON is the interpreter of an environment with `kreuzberg`, or with `docling-slim` and the extras of its formats;
neither gets a model. Each library reads in a warm process of its own.

What a file holds is what at least two of the libraries find: different words, without case, hyphens, punctuation and
targets of links, and headings. Of PDFs, manifest.csv gives `chars` and `pages` too.
"""

# ruff: noqa: PLC0415 (each library is in an environment of its own)
import argparse
import csv
import json
import re
import select
import statistics
import subprocess
import sys
import tempfile
import time
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

FORMATS = (
    "pdf", "docx", "pptx", "xlsx", "xls", "doc ppt", "html htm", "epub", "odt ods odp", "eml", "msg", "md", "csv tsv",
    "json ndjson", "xml nxml", "rtf", "vtt", "rst org asciidoc",
)  # fmt: skip
PAGES, ROWS = 500, 50_000
Read = tuple[str, list[str]]
"""The text, as Markdown, and the text of each page."""


def ragline(path: Path) -> Read:
    from indexing.read.formats.load import load

    documents = list(load(path))
    first = documents[0]
    pages = [first.text[start:end] for start, end in zip(first.pages, (*first.pages[1:], None), strict=False)]
    return "\n\n".join(document.text for document in documents), pages


def kreuzberg(path: Path) -> Read:
    from kreuzberg import ExtractionConfig, HierarchyConfig, PageConfig, PdfConfig, extract_file_sync

    config = ExtractionConfig(
        use_cache=False, disable_ocr=True, output_format="markdown", pages=PageConfig(extract_pages=True),
        pdf_options=PdfConfig(hierarchy=HierarchyConfig()),
    )  # fmt: skip
    result = extract_file_sync(path, config=config)
    return result.content, [page["content"] for page in result.pages or []]


def docling(path: Path) -> Read:
    document = _converter().convert(path).document
    pages = dict.fromkeys(sorted(document.pages), "")
    for item, _ in document.iterate_items():
        if item.prov and item.prov[0].page_no in pages:
            cells = item.data.table_cells if hasattr(item, "data") else [item]
            pages[item.prov[0].page_no] += "".join(f"{getattr(cell, 'text', '')}\n" for cell in cells)
    return document.export_to_markdown(image_placeholder=""), list(pages.values())


@cache
def _converter() -> Any:
    from docling.datamodel.base_models import InputFormat
    from docling.document_converter import DocumentConverter, NativePdfFormatOption

    return DocumentConverter(format_options={InputFormat.PDF: NativePdfFormatOption()})


LIBRARIES: Mapping[str, Callable[[Path], Read]] = {"ragline": ragline, "kreuzberg": kreuzberg, "docling": docling}


def form_of(path: str) -> str | None:
    """The row of the table that a file belongs to."""
    suffix = Path(path).suffix[1:].lower()
    return next((form for form in FORMATS if suffix in form.split()), None)


def serve(library: str) -> None:
    """Answer each path on stdin with a line of JSON. CPU time is of all threads, the less of two readings if short."""
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        times: list[float] = []
        answer: dict[str, Any] = {}
        try:
            while len(times) < 2 and sum(times) < 1:
                began = time.process_time()
                answer["text"], answer["pages"] = LIBRARIES[library](Path(line[:-1]))
                times.append(time.process_time() - began)
            answer |= {"ms": min(times) * 1000, "error": "" if answer["text"].strip() else "no text"}
        except Exception as exc:  # noqa: BLE001 (any exception is a failure of this file)
            answer = {"error": " ".join(f"{exc}".split())[:300] or type(exc).__name__}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


class Process:
    """Reads one file at a time; started again after a crash or a time-out."""

    def __init__(self, library: str, python: str, timeout_s: float) -> None:
        self._command = [python, __file__, "--serve", library]
        self._timeout_s = timeout_s
        self._running: subprocess.Popen[str] | None = None

    def read(self, path: Path) -> dict[str, Any]:
        if self._running is None:
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
            self._running = subprocess.Popen(self._command, **pipes, text=True, bufsize=1)
        running = self._running
        assert running.stdin is not None
        assert running.stdout is not None
        running.stdin.write(f"{path}\n")
        ready, _, _ = select.select([running.stdout], [], [], self._timeout_s)
        if ready and (line := running.stdout.readline()):
            answer: dict[str, Any] = json.loads(line)
            return answer
        self.stop()
        return {"error": "crash" if ready else "time-out"}

    def stop(self) -> None:
        if self._running is not None:
            self._running.kill()
            self._running.wait()
            self._running = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What one library made of one file; shares are pairs of what was found and what there is."""

    path: str
    library: str
    error: str
    ms: float = 0
    chars: tuple[int, int] = (0, 0)
    """Of the words that the libraries agree on."""
    manifest_chars: tuple[int, int] = (0, 0)
    headings: tuple[int, int] = (0, 0)
    rows: tuple[int, int] = (0, 0)
    """Rows of tables with column names, and all."""
    pages: tuple[int, int] = (0, 0)
    """Characters whose page is known, and all."""
    page_count: tuple[int, int] = (0, 0)


def tokens(text: str) -> list[str]:
    text = unicodedata.normalize("NFKC", re.sub(r"\]\([^)\s]*\)", "]", text)).casefold()
    return re.findall(r"[^\W_]+", re.sub(r"(?<=\w)[-\u2010\u00ad]\s*(?=\w)", "", text))


def words(text: str) -> Counter[str]:
    """Each word once: some libraries repeat merged cells and column names."""
    return Counter(set(tokens(text)))


def headings(text: str) -> Counter[str]:
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return Counter(" ".join(tokens(title)) for title in re.findall(r"^#{1,6} +(.+)$", text, re.MULTILINE))


def table_rows(text: str) -> tuple[int, int]:
    """Rows with column names, and all, of Markdown tables and of lines such as "Zone: A, Price: 3"."""
    named = rows = 0
    for is_table, block in groupby(text.split("\n"), lambda line: line.lstrip().startswith("|")):
        lines = list(block)
        if not is_table:
            found = sum(bool(re.match(r"[^:|,]+: [^:]+, [^:|,]+: ", line[:500])) for line in lines)
            named, rows = named + found, rows + found
        elif len(lines) > 1 and not lines[1].strip("|-: "):
            names = [cell.strip() for cell in lines[0].strip().strip("|").split("|")]
            rows += len(lines) - 2
            named += (len(lines) - 2) * (sum(map(bool, names)) >= min(2, len(names)))
        else:
            rows += len(lines)
    return named, rows


def agreed(found: Iterable[Counter[str]]) -> Counter[str]:
    """Each key as often as the second best has it."""
    counts = list(found)
    keys: set[str] = set().union(*counts)
    return Counter({key: sorted(count[key] for count in counts)[-2] for key in keys}) if len(counts) > 1 else Counter()


def size(count: Counter[str]) -> int:
    return sum(len(word) * number for word, number in count.items())


def readings(folder: Path, processes: Mapping[str, Process]) -> Iterator[Reading]:
    with (folder / "manifest.csv").open() as manifest:
        rows = [row for row in csv.DictReader(manifest) if form_of(row["path"])]
    for row in rows:
        answers = {library: process.read(folder / row["path"]) for library, process in processes.items()}
        good = {library: answer for library, answer in answers.items() if not answer["error"]}
        all_words = {library: words(answer["text"]) for library, answer in good.items()}
        all_headings = {library: headings(answer["text"]) for library, answer in good.items()}
        known_words, known_headings = agreed(all_words.values()), agreed(all_headings.values())
        for library, answer in answers.items():
            reading = Reading(row["path"], library, answer["error"])
            if library in good:
                text, pages = answer["text"], answer["pages"]
                chars, count = int(row["chars"] or 0), int(row["pages"] or 0)
                reading = replace(
                    reading, ms=answer["ms"], rows=table_rows(text), manifest_chars=(min(len(text), chars), chars),
                    pages=(min(size(words(" ".join(pages))), size(all_words[library])), size(all_words[library])),
                    page_count=(len(pages) == count if count else 0, bool(count)),
                    headings=((all_headings[library] & known_headings).total(), known_headings.total()),
                    chars=(size(all_words[library] & known_words), size(known_words)),
                )  # fmt: skip
            elif good:
                reading = replace(reading, chars=(0, size(known_words)), headings=(0, known_headings.total()))
            yield reading


def share(pairs: Iterable[tuple[int, int]]) -> str:
    found, there_is = (sum(column) for column in zip(*pairs, strict=True))
    return f"{found / there_is:.1%}" if there_is else "-"


def table(found: Sequence[Reading]) -> None:
    """One row a format; each cell has the figures of the libraries, in order."""
    libraries = list(dict.fromkeys(reading.library for reading in found))
    print(f"{' / '.join(libraries)}\n")
    print(
        "| format | files | read | words | characters of manifest.csv | headings | rows with column names | pages"
        " | text with a page | ms, median | ms, mean |"
    )
    print("|---" * 11 + "|")
    for form in FORMATS:
        of_form = [[r for r in found if r.library == library and form_of(r.path) == form] for library in libraries]
        if of_form[0]:
            cells = zip(*map(figures, of_form), strict=True)
            print(f"| {form.replace(' ', ', ')} | {len(of_form[0])} | {' | '.join(map(' / '.join, cells))} |")


def figures(every: Sequence[Reading]) -> tuple[str, ...]:
    """The figures of one library on one format."""
    ms = [reading.ms for reading in every if not reading.error] or [0.0]
    named, rows = (sum(column) for column in zip(*(reading.rows for reading in every), strict=True))
    return (
        f"{sum(not r.error for r in every)}", share(r.chars for r in every), share(r.manifest_chars for r in every),
        share(r.headings for r in every), f"{named:,} of {rows:,}", share(r.page_count for r in every),
        share(r.pages for r in every), f"{statistics.median(ms):.1f}", f"{statistics.mean(ms):.1f}",
    )  # fmt: skip


def synthesize(folder: Path) -> None:
    """A PDF of 500 pages with 40 lines each, a sheet of 50,000 rows, and their manifest."""
    (folder / "pages.pdf").write_bytes(pdf())
    with zipfile.ZipFile(folder / "rows.xlsx", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in workbook().items():
            archive.writestr(name, part)
    (folder / "manifest.csv").write_text(f"path,chars,pages\npages.pdf,,{PAGES}\nrows.xlsx,,\n")


def pdf() -> bytes:
    kids = " ".join(f"{4 + 2 * i} 0 R" for i in range(PAGES))
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", f"<< /Type /Pages /Kids [{kids}] /Count {PAGES} >>"]
    objects.append("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>")
    for i in range(PAGES):
        lines = "".join(f"(On page {i + 1}, line {j}, crane {i * j % 977} lifts {j} tons) Tj T* " for j in range(40))
        stream = f"BT /F1 11 Tf 14 TL 72 760 Td {lines}ET"
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {5 + 2 * i} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>"
        )
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    body, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        offsets.append(len(body))
        body += f"{number} 0 obj\n{content}\nendobj\n".encode()
    xref = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    trailer = f"trailer << /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{len(body)}\n%%EOF"
    return body + f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{xref}{trailer}".encode()


def workbook() -> dict[str, str]:
    """The parts of an .xlsx with one sheet."""
    header = "".join(f'<c t="inlineStr"><is><t>{name}</t></is></c>' for name in ("Crane", "Yard", "Year", "Load"))
    rows = "".join(
        f'<row><c t="inlineStr"><is><t>Crane {i}</t></is></c><c t="inlineStr"><is><t>Yard {i % 97}</t></is></c>'
        f"<c><v>{1950 + i % 70}</v></c><c><v>{i % 333}.5</v></c></row>"
        for i in range(ROWS)
    )
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    link = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    return {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{kind}.sheet.main+xml"/>'
        f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{kind}.worksheet+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{package}/relationships">'
        f'<Relationship Id="r1" Type="{link}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{link}">'
        '<sheets><sheet name="Cranes" sheetId="1" r:id="r1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}/relationships">'
        f'<Relationship Id="r1" Type="{link}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{main}"><sheetData><row>{header}</row>{rows}</sheetData>'
        "</worksheet>",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="documents and their manifest.csv")
    parser.add_argument("others", nargs="*", metavar="LIBRARY=PYTHON", help="kreuzberg=... docling=...")
    parser.add_argument("--timeout", type=float, default=600, help="seconds a file, by the clock")
    parser.add_argument("--details", type=Path, help="a file for one line of JSON a reading, with what was refused")
    parser.add_argument("--serve", choices=LIBRARIES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
        return
    pythons = {"ragline": sys.executable} | dict(other.split("=", 1) for other in options.others)
    processes = {library: Process(library, python, options.timeout) for library, python in pythons.items()}
    with tempfile.TemporaryDirectory() as made:
        if options.folder is None:
            synthesize(Path(made))
        found = list(readings(options.folder or Path(made), processes))
    for process in processes.values():
        process.stop()
    if options.details:
        options.details.write_text("".join(f"{json.dumps(asdict(reading))}\n" for reading in found))
    table(found)


if __name__ == "__main__":
    main()
