"""Several tables on one sheet: each row has the names of its own columns."""

import pytest

from indexing.read.formats import table_text
from indexing.read.formats.sheet_tables import tables_of


def tables(sheet: str) -> list[str]:
    """The text of each table of a sheet that is written as lines of cells between commas."""
    rows = [[cell.strip() for cell in line.split(",")] for line in sheet.split("\n")]
    width = max(map(len, rows))
    return [table_text.render(each) for each in tables_of([row + [""] * (width - len(row)) for row in rows])]


@pytest.mark.parametrize(
    ("sheet", "second"),
    [
        ("Crane,Load,Quay\nA1,40,Four\n\nSecond table\nShift,Hours\nEarly,8", "Second table\n\n| Shift | Hours |"),
        ("Crane,Load,Quay\nA1,40,Four\n\nNight work\n\nShift,Hours\nEarly,8", "Night work\n\n| Shift | Hours |"),
        ("Key,Door,Floor,Holder\nK1,boiler,1,Ann\n\nTerm,Meaning\nboiler,warm", "| Term | Meaning |"),
        ("Crane,Load\nA1,40\n\nCrane,Load\nB1,50", "| Crane | Load |"),
        ("Crane,Load\nA1,40\n\n,,,Shift,Hours\n,,,Early,8", "| Shift | Hours |"),
        ("Crane,Load,,,\nA1,40,,Shift,Hours\nA2,45,,Early,8\nA3,50", "| Shift | Hours |"),
        ("Crane,Load,,Shift,Hours\nA1,40,,Early,8\nA2,45,,,", "| Shift | Hours |"),
    ],
)
def test_a_second_table_has_its_own_names(sheet: str, second: str) -> None:
    first, other = tables(sheet)
    assert "Shift" not in first
    assert other.startswith(second)


@pytest.mark.parametrize(
    "sheet",
    [
        "Region,Town,Sum\nNorth,Arlby,5\n\nSouth,Keld,7\n\nTotal,,12",
        "Name,Phone,Mail,Notes\nAnn,x,y,z\n\nCy,x,y,\nDee,x,y,",
        "Item,2029,2030,,Change,%\nFish,1,2,,1,100%\nSalt,2,2,,0,0%",
        "Sales of the yard\n\nRegion,Sum\nNorth,5\nSouth,6",
    ],
)
def test_gaps_within_a_table_do_not_cut_it(sheet: str) -> None:
    assert len(tables(sheet)) == 1


def test_rows_below_a_heading_between_them_keep_the_names() -> None:
    assert tables("Region,Sum\nNorth,5\n\nGroup two\n\nSouth,6\nEast,7")[1] == (
        "Group two\n\n| Region | Sum |\n| --- | --- |\n| South | 6 |\n| East | 7 |"
    )
