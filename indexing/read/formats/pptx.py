"""PPTX: one page a slide, in the order of the presentation; titles as headings, then text and tables, then notes."""

import re
from collections import Counter

from lxml import etree

from indexing.document import one_line
from indexing.errors import UnreadableError
from indexing.read.formats import drawings, table_text
from indexing.read.formats.extract import Extract, Limits, counted, joined_pages, tidy
from indexing.read.formats.markup import Package, core_title, flat_text, local_name
from indexing.read.formats.superscript import joined
from indexing.read.formats.table_spans import Cell, spanned, whole_rows

_A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_P = "{http://schemas.openxmlformats.org/presentationml/2006/main}"
_REL = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_TITLES = ("title", "ctrTitle")
_READABLE = (f"{_A}t", "{*}relIds", "{*}chart")
_SKIPPED = ("dt", "ftr", "sldNum", "sldImg")


def load(content: bytes, _media_type: str, limits: Limits) -> Extract:
    package = Package(content, limits)
    slides = _slides(package)
    if len(slides) > limits.max_pages:
        raise UnreadableError(f"too large: {len(slides):,} slides, more than the limit of {limits.max_pages:,}")
    omitted: Counter[str] = Counter()
    pages = [_slide(package, name, omitted) for name in slides]
    text, starts = joined_pages(pages, limits)
    return Extract(text, core_title(package) or _first_title(text), starts, omitted=counted(omitted))


def _first_title(text: str) -> str:
    first = re.search(r"^## (.+)$", text, re.MULTILINE)
    return first[1] if first else ""


def _slides(package: Package) -> list[str]:
    """The part names in the order that the presentation lists them; by number where the list is broken."""
    if "ppt/presentation.xml" in package.names and "ppt/_rels/presentation.xml.rels" in package.names:
        targets = _targets(package, "ppt/presentation.xml")
        listed = package.xml("ppt/presentation.xml").iter("{*}sldId")
        found = [targets.get(entry.get(f"{_REL}id", ""), "") for entry in listed]
        if found := [name for name in found if name in package.names]:
            return found
    numbered = [(int(m[1]), m[0]) for name in package.names if (m := re.fullmatch(r"ppt/slides/slide(\d+)\.xml", name))]
    return [name for _, name in sorted(numbered)]


def _targets(package: Package, part: str) -> dict[str, str]:
    return {rel.id: rel.target for rel in package.relationships(part)}


def _slide(package: Package, name: str, omitted: Counter[str]) -> str:
    targets = _targets(package, name)
    root = package.xml(name)
    _resolve(root)
    shapes = _shapes(root)
    for frame in root.iter("{*}graphicData"):
        shapes += _drawing(package, targets, frame, omitted)
    notes = next((part for part in targets.values() if "notesSlide" in part), "")
    if notes in package.names and (text := _shapes(package.xml(notes))):
        shapes.append("Notes: " + "\n".join(text))
    for part in targets.values():
        if "/comments/" in part and part in package.names:
            comments = package.xml(part).iter("{*}text", "{*}txBody")
            shapes += [f"Comment: {words}" for each in comments if (words := flat_text(each))]
    return tidy("\n\n".join(shapes))


def _resolve(root: etree._Element) -> None:
    """Keep one branch of each alternative: the first choice that can be read, else the fallback."""
    for each in reversed(list(root.iter("{*}AlternateContent"))):
        parent = each.getparent()
        branches = [*each.findall("{*}Choice"), *each.findall("{*}Fallback")]
        kept = next((one for one in branches if next(one.iter(*_READABLE), None) is not None), None)
        kept = branches[0] if kept is None and branches else kept
        if parent is not None:
            at = parent.index(each)
            parent[at : at + 1] = [] if kept is None else list(kept)


def _drawing(package: Package, targets: dict[str, str], frame: etree._Element, omitted: Counter[str]) -> list[str]:
    """The words of a diagram or chart in a frame; what cannot be read is counted."""
    for element in frame:
        kind, text = drawings.drawing(element, package, targets)
        if text:
            return [text]
        if kind := kind or ("embedded object" if local_name(element) == "oleObj" else ""):
            omitted[kind] += 1
    return []


def _shapes(root: etree._Element) -> list[str]:
    """The text of each shape, title first."""
    titles: list[str] = []
    others: list[str] = []
    for shape in root.iter(f"{_P}sp", f"{_P}graphicFrame"):
        placeholder = shape.find(f"./{_P}nvSpPr/{_P}nvPr/{_P}ph")
        kind = "" if placeholder is None else placeholder.get("type", "body")
        if kind in _SKIPPED:
            continue
        if kind in _TITLES and (title := one_line(" ".join(_paragraphs(shape)))):
            titles.append(f"## {title}")
        elif (table := shape.find(f".//{_A}tbl")) is not None:
            rows = whole_rows([_cells(row) for row in table.iter(f"{_A}tr")])
            others.append(table_text.render([cell or "" for cell in row] for row in rows))
        else:
            others.append("\n".join(_paragraphs(shape)))
    return [text for text in (*titles, *others) if text]


def _cells(row: etree._Element) -> list[Cell[str]]:
    """Those that are not covered by another."""
    return [
        Cell(" ".join(_paragraphs(cell)), spanned(cell.get("rowSpan")), spanned(cell.get("gridSpan")), at)
        for at, cell in enumerate(row.iter(f"{_A}tc"))
        if {cell.get("hMerge", "0"), cell.get("vMerge", "0")} <= {"0", "false"}
    ]


def _paragraphs(shape: etree._Element) -> list[str]:
    """Lines, indented by list level."""
    lines = []
    for paragraph in shape.iter(f"{_A}p"):
        text = one_line(joined(_run(node) for node in paragraph.iter() if local_name(node) in ("t", "br", "tab")))
        properties = paragraph.find(f"{_A}pPr")
        level = int(properties.get("lvl", "0")) if properties is not None else 0
        if text:
            lines.append(f"{'  ' * (level - 1)}- {text}" if level else text)
    return lines


def _run(node: etree._Element) -> tuple[str, int]:
    """Its text, and 1 where it is raised, -1 where it is lowered."""
    if local_name(node) != "t":
        return " ", 0
    properties = node.getprevious()
    baseline = "0" if properties is None else properties.get("baseline", "0")
    return node.text or "", -1 if baseline.startswith("-") else int(baseline.strip("0%.") != "")
