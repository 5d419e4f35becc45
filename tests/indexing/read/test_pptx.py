"""Diagrams, charts and alternatives of slides."""

from collections.abc import Mapping, Sequence

import pytest

from indexing.document import Document
from tests.indexing.read.test_formats import one, zipped

_D = "http://schemas.openxmlformats.org/drawingml/2006"
_R = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
NS = (
    f'xmlns:a="{_D}/main" xmlns:dgm="{_D}/diagram" xmlns:c="{_D}/chart" xmlns:r="{_R}" '
    'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main" '
    'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"'
)


def slide(body: str, parts: Mapping[str, str]) -> Document:
    rels = "".join(f'<Relationship Id="{name}" Type="t" Target="../{name}"/>' for name in parts)
    files = {
        "[Content_Types].xml": "<Types/>",
        "ppt/slides/slide1.xml": f"<p:sld {NS}><p:cSld><p:spTree>{body}</p:spTree></p:cSld></p:sld>",
        "ppt/slides/_rels/slide1.xml.rels": f"<Relationships>{rels}</Relationships>",
    }
    return one(zipped(files | {f"ppt/{name}": text for name, text in parts.items()}), "s.pptx")


def frame(inner: str) -> str:
    return f"<p:graphicFrame><a:graphic><a:graphicData>{inner}</a:graphicData></a:graphic></p:graphicFrame>"


def words(text: str) -> str:
    return f"<p:sp><p:txBody><a:p><a:r><a:t>{text}</a:t></a:r></a:p></p:txBody></p:sp>"


def point(key: str, text: str = "", kind: str = "node") -> str:
    body = f"<dgm:t><a:p><a:r><a:t>{text}</a:t></a:r></a:p></dgm:t>" if text else ""
    return f'<dgm:pt modelId="{key}" type="{kind}">{body}</dgm:pt>'


def link(source: str, target: str, order: int) -> str:
    return f'<dgm:cxn srcId="{source}" destId="{target}" srcOrd="{order}"/>'


def test_a_diagram_is_a_list_in_its_own_order() -> None:
    points = point("d", kind="doc") + point("2", "Second") + point("1", "First") + point("3", "Below")
    links = link("d", "2", 1) + link("d", "1", 0) + link("1", "3", 0)
    data = f"<dgm:dataModel {NS}><dgm:ptLst>{points}</dgm:ptLst><dgm:cxnLst>{links}</dgm:cxnLst></dgm:dataModel>"
    found = slide(words("Steps") + frame('<dgm:relIds r:dm="diagrams/data1.xml"/>'), {"diagrams/data1.xml": data})
    assert found.text == "Steps\n\n- First\n  - Below\n- Second"
    assert found.omitted == ()


def test_a_chart_is_a_table() -> None:
    def points(*values: str) -> str:
        return "".join(f'<c:pt idx="{i}"><c:v>{value}</c:v></c:pt>' for i, value in enumerate(values))

    series = "".join(
        f"<c:ser><c:tx><c:strRef><c:strCache>{points(name)}</c:strCache></c:strRef></c:tx>"
        f"<c:cat><c:strRef><c:strCache>{points('North', 'South')}</c:strCache></c:strRef></c:cat>"
        f"<c:val><c:numRef><c:numCache>{points(*values)}</c:numCache></c:numRef></c:val></c:ser>"
        for name, values in {"Sales": ("4", "5"), "Costs": ("1", "2")}.items()
    )
    title = "<c:title><c:tx><c:rich><a:p><a:r><a:t>By region</a:t></a:r></a:p></c:rich></c:tx></c:title>"
    part = f"<c:chartSpace {NS}><c:chart>{title}<c:plotArea>{series}</c:plotArea></c:chart></c:chartSpace>"
    found = slide(frame('<c:chart r:id="charts/chart1.xml"/>'), {"charts/chart1.xml": part})
    assert found.text.split("\n") == [
        "By region", "", "| Category | Sales | Costs |", "| --- | --- | --- |", "| North | 4 | 1 |",
        "| South | 5 | 2 |",
    ]  # fmt: skip


def test_a_chart_that_keeps_its_data_apart_from_its_series() -> None:
    def level(*values: str) -> str:
        points = (f"<x:pt idx='{i}'>{value}</x:pt>" for i, value in enumerate(values))
        return f"<x:lvl>{''.join(points)}</x:lvl>"

    categories = f"<x:strDim type='cat'>{level('North', 'South')}{level('Coast')}</x:strDim>"
    data = f"{categories}<x:numDim>{level('4', '5')}</x:numDim>"
    series = "<x:series><x:tx><x:txData><x:v>Sales</x:v></x:txData></x:tx><x:dataId val='0'/></x:series>"
    ns = "http://schemas.microsoft.com/office/drawing/2014/chartex"
    inner = f"<x:chartData><x:data id='0'>{data}</x:data></x:chartData><x:chart>{series}</x:chart>"
    chart = frame(f'<x:chart xmlns:x="{ns}" r:id="charts/c.xml"/>')
    body = f"<mc:AlternateContent><mc:Choice Requires='cx1'>{chart}</mc:Choice><mc:Fallback/></mc:AlternateContent>"
    found = slide(body, {"charts/c.xml": f"<x:chartSpace xmlns:x='{ns}'>{inner}</x:chartSpace>"})
    assert found.text.split("\n") == ["| Category | Sales |", "| --- | --- |", "| North | 4 |", "| South | 5 |"]


def test_one_branch_of_an_alternative_is_read() -> None:
    both = f"<mc:Choice Requires='x'>{words('Same')}</mc:Choice><mc:Fallback>{words('Same')}</mc:Fallback>"
    only = f"<mc:Choice Requires='x'/><mc:Fallback>{words('Other')}</mc:Fallback>"
    body = f"<mc:AlternateContent>{both}</mc:AlternateContent><mc:AlternateContent>{only}</mc:AlternateContent>"
    assert slide(body, {}).text == "Same\n\nOther"


def test_a_chart_without_its_part_is_reported() -> None:
    found = slide(words("Text") + frame('<c:chart r:id="gone"/>') + frame("<p:oleObj/>"), {})
    assert (found.text, found.omitted) == ("Text", ("1 chart", "1 embedded object"))


@pytest.mark.parametrize(
    ("runs", "text"),
    [
        ((("holds 10", ""), ("6", "30000"), (" litres", "")), "holds 10^6 litres"),
        ((("3 x 10", ""), ("-", "30000"), ("4", "30000")), "3 x 10^-4"),
        ((("2", ""), ("10", "30%"), (" bytes", "0")), "2^10 bytes"),
        ((("CO", ""), ("2", "-25000")), "CO2"),
        ((("the 1", ""), ("st", "30000"), (" of May", "")), "the 1st of May"),
        ((("The permit ends.", ""), ("1", "30000")), "The permit ends. [1]"),
    ],
)
def test_raised_and_lowered_text(runs: Sequence[tuple[str, str]], text: str) -> None:
    written = "".join(f'<a:r><a:rPr baseline="{at}"/><a:t>{part}</a:t></a:r>' for part, at in runs)
    assert slide(f"<p:sp><p:txBody><a:p>{written}</a:p></p:txBody></p:sp>", {}).text == text


def test_merged_cells_stand_in_each_row() -> None:
    def cell(text: str, attributes: str = "") -> str:
        return f"<a:tc {attributes}><a:txBody><a:p><a:r><a:t>{text}</a:t></a:r></a:p></a:txBody></a:tc>"

    rows = (
        cell("Region") + cell("Plan", 'gridSpan="2"') + cell("", 'hMerge="1"'),
        cell("North", 'rowSpan="2"') + cell("1") + cell("2"),
        cell("", 'vMerge="1"') + cell("3") + cell("4"),
    )
    table = f"<a:tbl>{''.join(f'<a:tr>{row}</a:tr>' for row in rows)}</a:tbl>"
    assert slide(frame(table), {}).text.splitlines()[2:] == ["| North | 1 | 2 |", "| North | 3 | 4 |"]


def test_comments_are_read() -> None:
    comments = f"<p:cmLst {NS}><p:cm><p:text>Is this the new fee?</p:text></p:cm></p:cmLst>"
    assert slide(words("Fees"), {"comments/comment1.xml": comments}).text == "Fees\n\nComment: Is this the new fee?"
