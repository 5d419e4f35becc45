"""The column names of tables: years, repeated names, titles above, `sep=`, two rows of names; and data without any."""

import pytest

from indexing.document import Document
from indexing.read.formats.load import load_bytes
from indexing.read.formats.table_text import render


def csv(text: str, name: str = "a.csv") -> Document:
    (document,) = load_bytes(text.encode(), name)
    return document


def rows(count: int, *columns: str) -> str:
    return "".join(";".join(f"{column}{n}" for column in columns) + "\n" for n in range(10, 10 + count))


def last_line(text: str) -> str:
    return csv(text).text.splitlines()[-1]


@pytest.mark.parametrize("years", ["2019;2020;2021", "2021;2020;2019", "1990;2000;2015", "(2019);(2020);(2021)"])
def test_years_are_names(years: str) -> None:
    first = years.split(";", maxsplit=1)[0]
    assert last_line(f"Town;{years}\n" + rows(20, "Arlby ", "11", "12", "13")).startswith(
        f"Town: Arlby 29, {first}: 1129, "
    )


def test_one_year_is_a_name_where_the_values_are_none() -> None:
    assert last_line("Town;2019\n" + rows(20, "Arlby ", "777")) == "Town: Arlby 29, 2019: 77729"
    assert csv("Ann;1984\nBob;1990\nCyd;1971").text == "Ann | 1984\nBob | 1990\nCyd | 1971"


def test_months_by_number_are_names() -> None:
    assert last_line("Town;1;2;3\n" + rows(20, "Arlby ", "5", "8", "2")) == "Town: Arlby 29, 1: 529, 2: 829, 3: 229"


def test_repeated_names_are_numbered() -> None:
    assert last_line("Name;Phone;Phone;Phone 2\n" + rows(20, "Ann", "1-", "2-", "3-")) == (
        "Name: Ann29, Phone: 1-29, Phone 3: 2-29, Phone 2: 3-29"
    )
    assert csv("Name;Phone;Phone\nAnn;1-2;3-4\n").text.startswith("| Name | Phone | Phone 2 |")


def test_rows_of_the_same_answers_are_no_names() -> None:
    assert csv("yes;no;yes\nno;no;yes\nyes;yes;no").text == "yes | no | yes\nno | no | yes\nyes | yes | no"


def test_a_title_and_a_preamble_stand_above_the_table() -> None:
    long = csv("Fares of 2030;;\n\nExported;2030-01-02;\n\nZone;Adult;Child\n" + rows(20, "Zone ", "4", "2")).text
    assert long.startswith("# Fares of 2030\nExported 2030-01-02\n\nZone: Zone 10, Adult: 410, Child: 210\n")
    short = csv("Fares of 2030\nZone;Adult;Child\nA;4;2\n").text
    assert short == "Fares of 2030\n\n| Zone | Adult | Child |\n| --- | --- | --- |\n| A | 4 | 2 |"


@pytest.mark.parametrize("line", ["sep=;\n", '"sep=;"\r\n', "SEP=;\r\n"])
def test_the_line_that_tells_the_delimiter(line: str) -> None:
    assert csv(f"{line}Name,first;Age\nAnn, B;31\n").text.startswith("| Name,first | Age |")
    assert csv("sep=\t\nName\tAge\nAnn\t31\n").text.startswith("| Name | Age |")


def test_first_rows_that_are_no_names() -> None:
    assert csv("Ann;2020;1990;2005\nBob;7;8;9").text.startswith("Ann | 2020 | 1990")
    assert render([["x", "x"], ["y", "y"], ["z", "z"]]) == "x | x\ny | y\nz | z"
    assert csv("x;x;x\nAnn;b;c\nBob;d;e\n").text.startswith("x\n\n| Ann | b | c |")
    assert render([["Fares", "", "x", ""], ["a", "b", "", ""], ["c", "", "", "d"]]).startswith("Fares |  | x\n")


def test_a_row_with_numbers_is_no_second_row_of_names() -> None:
    cells = [["Town", "Men", "Men", "Women"], ["A", "4", "b", "5"], ["B", "6", "c", "7"]]
    assert render(cells).splitlines()[0] == "| Town | Men | Men 2 | Women |"


def test_names_in_two_rows() -> None:
    cells = [
        ["Towns"] * 5,
        ["Town", "2019", "2019", "2020", "2020"],
        ["Town", "Men", "Women", "Men", "Women"],
        *[["A", "4", "2", "5", "3"]] * 5,
    ]
    assert render(cells).startswith("Towns\n\n| Town | 2019 Men | 2019 Women | 2020 Men | 2020 Women |\n")


def test_data_without_names_stays_data() -> None:
    assert render([["A", "1958", "4", "3309"], ["B", "1960", "7", "12"]]) == "A | 1958 | 4 | 3309\nB | 1960 | 7 | 12"
    assert render([["1", "2"], ["3", "4"], ["n/a", "none"], ["5", "6"]]).startswith("1 | 2\n3 | 4\n")
