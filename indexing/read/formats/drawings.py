"""The words of diagrams (SmartArt) and charts, which OOXML keeps in parts of their own."""

from lxml import etree

from indexing.document import one_line
from indexing.read.formats import table_text

_MAX_DEPTH = 8
_MAX_POINTS = 10_000


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
    names: dict[int, str] = {}
    columns: list[dict[int, str]] = []
    heads = [""]
    for series in root.iter("{*}ser"):
        label = series.find("{*}tx")
        heads.append(next((v.text or "" for v in label.iter("{*}v")), "") if label is not None else "")
        for kind in ("cat", "xVal"):
            names = names or _points(series.find(f"{{*}}{kind}"))
        values = series.find("{*}val")
        columns.append(_points(series.find("{*}yVal") if values is None else values))
    rows = sorted({*names, *(at for column in columns for at in column)})[:_MAX_POINTS]
    body = [[names.get(at, str(at + 1)), *(column.get(at, "") for column in columns)] for at in rows]
    heads = ["Category", *(head or f"Series {number}" for number, head in enumerate(heads[1:], 1))]
    return "\n\n".join(filter(None, (title, table_text.render([heads, *body]) if body else "")))


def _words(element: etree._Element) -> list[str]:
    """The text of each paragraph."""
    return ["".join(text.text or "" for text in paragraph.iter("{*}t")) for paragraph in element.iter("{*}p")]


def _points(data: etree._Element | None) -> dict[int, str]:
    """Index -> value, of the values that the chart keeps of its sheet."""
    found = [] if data is None else data.iter("{*}pt")
    return {int(p.get("idx", "0")): one_line(p.findtext("{*}v") or "") for p in found if p.get("idx", "0").isdigit()}
