"""The words of diagrams (SmartArt) and charts, which OOXML keeps in parts of their own."""

import re
from collections.abc import Mapping

from lxml import etree

from indexing.document import one_line
from indexing.read.formats import table_text
from indexing.read.formats.markup import Package, local_name

_REL = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"

_INEXACT = re.compile(r"-?[0-9]{1,15}\.[0-9]{15,20}")
"""A number with more than the 15 digits that a spreadsheet keeps and shows."""
_MAX_DEPTH = 8
_MAX_POINTS = 10_000


def drawing(element: etree._Element, package: Package, targets: Mapping[str, str]) -> tuple[str, str]:
    """("diagram" or "chart", its words as Markdown) that an element refers to; "" for what it is not or has not."""
    kind = {"relIds": "diagram", "chart": "chart"}.get(local_name(element), "")
    part = targets.get(element.get(f"{_REL}{'dm' if kind == 'diagram' else 'id'}", ""), "")
    if not kind or part not in package.names:
        return kind, ""
    return kind, (diagram if kind == "diagram" else chart)(package.xml(part))


def diagram(root: etree._Element) -> str:
    """The points of a diagram's data as a list, in the order and at the level that its connections give."""
    points = {str(point.get("modelId")): point for point in root.iter("{*}pt")}
    words = {key: one_line(" ".join(_words(point))) for key, point in points.items()}
    below: dict[str, list[tuple[int, str]]] = {}
    for link in root.iter("{*}cxn"):
        if link.get("type", "parOf") == "parOf":
            order = link.get("srcOrd", "0")
            below.setdefault(link.get("srcId", ""), []).append(
                (int(order) if order.isdigit() else 0, link.get("destId", ""))
            )
    tops = [key for key, point in points.items() if point.get("type") == "doc"]
    lines: list[str] = []
    seen: set[str] = set()
    waiting = [(key, -1) for key in reversed([*points, *reversed(tops)])]
    while waiting:
        key, depth = waiting.pop()
        if key in seen:
            continue
        seen.add(key)
        if words.get(key):
            lines.append(f"{'  ' * min(max(depth, 0), _MAX_DEPTH)}- {words[key]}")
        waiting += [(child, depth + 1) for _, child in sorted(below.get(key, ()), reverse=True)]
    return "\n".join(lines)


def chart(root: etree._Element) -> str:
    """The title of a chart and its numbers as a table: a row for each category, a column for each series."""
    title = next((one_line(" ".join(_words(found))) for found in root.iter("{*}title")), "")
    data = {each.get("id"): each for each in root.iter("{*}data")}
    names: dict[int, str] = {}
    columns: list[dict[int, str]] = []
    heads = [""]
    for series in root.iter("{*}ser", "{*}series"):
        label = series.find("{*}tx")
        heads.append(next((v.text or "" for v in label.iter("{*}v")), "") if label is not None else "")
        # Waterfalls, treemaps and the like ("chartex") keep their data apart from the series.
        reference = series.find("{*}dataId")
        kept = series if reference is None else data.get(reference.get("val"), series)
        names = names or _points(kept, "cat", "xVal", "strDim")
        columns.append(_points(kept, "val", "yVal", "numDim"))
    rows = sorted({*names, *(at for column in columns for at in column)})[:_MAX_POINTS]
    body = [[names.get(at, str(at + 1)), *(column.get(at, "") for column in columns)] for at in rows]
    heads = ["Category", *(head or f"Series {number}" for number, head in enumerate(heads[1:], 1))]
    return "\n\n".join(filter(None, (title, table_text.render([heads, *body]) if body else "")))


def _words(element: etree._Element) -> list[str]:
    """The text of each paragraph."""
    return ["".join(text.text or "" for text in paragraph.iter("{*}t")) for paragraph in element.iter("{*}p")]


def _points(data: etree._Element, *kinds: str) -> dict[int, str]:
    """Index -> value, of the values that the chart keeps of its sheet; of categories in levels, the lowest."""
    points: dict[int, str] = {}
    for point in (point for kind in kinds for found in data.findall(f"{{*}}{kind}") for point in found.iter("{*}pt")):
        if (at := point.get("idx", "0")).isdigit():
            text = one_line(point.findtext("{*}v") or point.text or "")
            points.setdefault(int(at), f"{float(text):.15g}" if _INEXACT.fullmatch(text) else text)
    return points
