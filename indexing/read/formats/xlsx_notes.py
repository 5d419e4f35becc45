"""What stands on an XLSX sheet beside its cells: comments, notes and text boxes are read, the rest is counted."""

from collections import Counter
from collections.abc import Mapping

from lxml import etree

from indexing.document import one_line
from indexing.markdown import escaped
from indexing.read.formats.markup import Package, local_name

_BOOK = "xl/workbook.xml"
_R_ID = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"


def notes(package: Package, omitted: Counter[str]) -> Mapping[str, list[str]]:
    """The lines of each sheet, by its name."""
    if _BOOK not in package.names:
        return {}
    parts = {rel.id: rel.target for rel in package.relationships(_BOOK)}
    names = {
        str(sheet.get("name")): parts.get(sheet.get(_R_ID, ""), "") for sheet in package.xml(_BOOK).iter("{*}sheet")
    }
    return {name: _of_sheet(package, part, omitted) for name, part in names.items() if part in package.names}


def _of_sheet(package: Package, part: str, omitted: Counter[str]) -> list[str]:
    found: dict[str, list[str]] = {"comments": [], "threadedComment": [], "drawing": []}
    for rel in package.relationships(part):
        kind = rel.kind.rpartition("/")[2]
        if kind in found and rel.target in package.names:
            found[kind].append(rel.target)
    lines: list[str] = []
    threads: set[str] = set()
    for name in found["threadedComment"]:
        for comment in package.xml(name).iter("{*}threadedComment"):
            threads.add(comment.get("ref", ""))
            lines.append(f"Comment on {comment.get('ref')}: {one_line(comment.findtext('{*}text') or '')}")
    for name in found["comments"]:
        # For older programs, the first comment of a thread stands in a note, too.
        lone = (each for each in package.xml(name).iter("{*}comment") if each.get("ref", "") not in threads)
        lines += [f"Note on {each.get('ref')}: {text}" for each in lone if (text := _words(each))]
    for name in found["drawing"]:
        drawing = package.xml(name)
        lines += [escaped(text) for box in drawing.iter("{*}txBody") if (text := _words(box))]
        omitted["chart"] += sum(1 for _ in drawing.iter("{*}chart"))
        omitted["diagram"] += sum(1 for _ in drawing.iter("{*}relIds"))
    return lines


def _words(element: etree._Element) -> str:
    """Its text, a blank between paragraphs; without the readings of East Asian words."""
    words = (
        (node.text or "") if local_name(node) == "t" else " "
        for node in element.iter("{*}t", "{*}p")
        if next(node.iterancestors("{*}rPh"), None) is None
    )
    return one_line("".join(words))
