import pytest

from app.answer.tables import cells_of, row_said, rows
from app.answer.verify import verify

PUMPS = (
    "Limits by pump.\n\n| Pump | Limit | Site |\n|---|---|---|\n"
    "| P-17 | 8 bar | Berlin |\n| P-18 | 12 bar | Paris |\n| P-19 | not approved | Rome |"
)
FIGURES = "| Item | 2022 | 2023 |\n|---|---|---|\n| Revenue | 4,100 | 5,200 |\n| Net profit | 300 | 410 |"
LINES = (
    "Pump: P-17, Limit: 8 bar, Site: Berlin, Germany\n"
    "Pump: P-18, Limit: 12 bar, Site: Paris, France\n"
    "Pump: P-20, Limit: 7 bar, Site: Rome"
)


@pytest.mark.parametrize(
    ("passage", "claim", "verified"),
    [
        (PUMPS, "The limit of P-18 is 12 bar.", True),
        (PUMPS, "The limit of pump P-18 at the Paris site is 12 bar.", True),
        (PUMPS, "P-18 is in Paris.", True),
        (PUMPS, "The limit of P-18 is 8 bar.", False),
        (PUMPS, "P-18 is in Berlin.", False),
        (PUMPS, "The site of P-18 is 12 bar.", False),
        (PUMPS, "The limit of P-18 is not 12 bar.", False),
        (PUMPS, "P-19 is approved.", False),
        (PUMPS, "The limit is 12 bar.", False),
        (FIGURES, "Revenue in 2023 was 5,200.", True),
        (FIGURES, "In 2023, net profit was 410.", True),
        (FIGURES, "Revenue was 4100 in 2022 and 5200 in 2023.", True),
        (FIGURES, "Revenue was 5200 in 2022 and 4100 in 2023.", False),
        (FIGURES, "Revenue in 2022 was 5,200.", False),
        (FIGURES, "Net profit in 2023 was 5,200.", False),
        (FIGURES, "Revenue rose in 2023.", False),
        (LINES, "The limit of P-18 is 12 bar.", True),
        (LINES, "The site of P-18 is Paris, France.", True),
        (LINES, "The limit of P-18 is 8 bar.", False),
        (LINES, "P-18 is in Berlin.", False),
    ],
)
def test_a_claim_is_of_one_row_and_the_columns_that_it_names(passage: str, claim: str, verified: bool) -> None:
    verdict = verify(claim, passage, "Pumps")
    assert verdict.verified == verified, verdict.why
    if verified:
        assert "\n" not in passage[verdict.start : verdict.end]


def test_the_rows_of_a_table_have_the_names_of_its_columns() -> None:
    found = list(rows(PUMPS, ""))
    assert row_said(found[0][2]) == "Pump: P-17; Limit: 8 bar; Site: Berlin"
    assert PUMPS[slice(*found[1][:2])] == "| P-18 | 12 bar | Paris |"
    assert len(found) == 3


def test_a_chunk_that_goes_on_with_a_table_has_the_names_in_its_heading() -> None:
    row = r"| P-18 | a \| b | |"
    cells = [("Pump", "P-18"), ("Limit", "a | b"), ("Site", "")]
    assert cells_of(row, "Sites > Limits: Pump | Limit | Site", 0, len(row)) == cells
    assert [found for _, _, found in rows(row, "Sites > Limits: Pump | Limit | Site")] == [cells]
    assert row_said(cells) == "Pump: P-18; Limit: a | b"


def test_a_line_with_colons_alone_is_no_row() -> None:
    assert list(rows("Note: the pump failed, Cause: rust.\nIt was closed.", "")) == []
