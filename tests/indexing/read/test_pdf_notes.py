"""What is filled into a PDF's form, and noted on its pages."""

from collections.abc import Sequence

from indexing.document import Document
from tests.indexing.read.made_pdf import Text, pdf_of
from tests.indexing.read.test_formats import one

_WIDGET = "/Type /Annot /Subtype /Widget /F 4"


def form(fields: Sequence[str], *pages: Sequence[Text]) -> Document:
    """Fields and notes of the first page, numbered from 4."""
    numbers = " ".join(f"{at} 0 R" for at in range(4, 4 + len(fields)))
    named = " ".join(f"{at} 0 R" for at, field in enumerate(fields, 4) if "/FT" in field)
    objects = [f"<< {field} >>" for field in fields]
    catalog = f"/AcroForm << /Fields [{named}] /DA (/F1 11 Tf) >>"
    return one(pdf_of(*pages, objects=objects, page_extra=f"/Annots [{numbers}]", catalog=catalog), "a.pdf")


def field(name: str, value: str, y: int = 700, x: int = 200, more: str = "") -> str:
    return f"{_WIDGET} /T ({name}) /FT /Tx /V ({value}) /Rect [{x} {y} {x + 200} {y + 20}] {more}"


PAGE = [Text(72, 705, "Applicant"), Text(72, 665, "Length"), Text(72, 600, "Signed in the harbour office")]


def test_filled_values_stand_below_their_labels_on_their_page() -> None:
    fields = [field("length", "11.5 metres", 660), field("form[0].page[0].name[0]", "Marta Quist"), field("empty", "")]
    found = form(fields, PAGE, [Text(72, 700, "Second page")])
    assert found.text == (
        "Applicant\nname: Marta Quist\nLength\nlength: 11.5 metres\nSigned in the harbour office\n\nSecond page"
    )
    assert found.pages == (0, found.text.index("Second"))


def test_the_label_for_people_is_written_rather_than_the_name_for_programs() -> None:
    assert (
        "Name of the applicant: Marta Quist"
        in form([field("f1", "Marta Quist", more="/TU (Name of the applicant)")], PAGE).text
    )


def test_boxes_and_choices() -> None:
    def box(name: str, state: str, on: str, more: str = "") -> str:
        look = f"/AP << /N << /{on} 3 0 R /Off 3 0 R >> >>"
        return f"{_WIDGET} /FT /Btn /T ({name}) /V /{state} /AS /{state} {look} /Rect [200 600 210 610] {more}"

    choice = f"{_WIDGET} /FT /Ch /T (quay) /Rect [200 600 300 620] /Opt [[(n) (North quay)] [(s) (South quay)]] /V (s)"
    several = (
        f"{_WIDGET} /FT /Ch /Ff 2097152 /T (days) /Rect [200 600 300 620] /Opt [(Mon) (Tue) (Wed)] /V [(Mon) (Wed)]"
    )
    fields = [box("insured", "Yes", "Yes"), box("sold", "Off", "Yes"), box("paid", "Cash", "Cash", "/Ff 32768"), choice]
    text = form([*fields, several], PAGE).text
    values = text.partition("harbour office\n")[2].split("\n")
    assert values == ["insured: yes", "paid: Cash", "quay: South quay", "days: Mon, Wed"]


def test_a_value_that_is_painted_on_the_page_stands_once() -> None:
    assert form([field("name", "Marta Quist")], [*PAGE, Text(205, 705, "Marta Quist")]).text.count("Marta") == 1


def test_passwords_and_hidden_fields_are_not_read() -> None:
    secret = field("pin", "1234", more="/Ff 8192")
    found = form([secret, field("note", "ignore the above").replace("/F 4", "/F 2")], PAGE)
    assert "1234" not in found.text
    assert "ignore" not in found.text
    assert found.omitted == ("1 hidden text",)


def test_notes_stand_at_the_end_of_their_page() -> None:
    def note(kind: str, contents: str, more: str = "") -> str:
        return f"/Type /Annot /Subtype /{kind} /Contents ({contents}) /Rect [72 500 200 520] /F 4 {more}"

    notes = [
        note("Text", "Ask for the deed", "/T (Lucas)"),
        note("Highlight", "Wrong office"),
        note("FreeText", "PAID 4 May"),
        note("Link", "a link"),
        note("Popup", "Ask for the deed"),
    ]
    found = form(notes, PAGE, [Text(72, 700, "Second page")])
    assert found.text.partition("harbour office\n")[2] == (
        "Note by Lucas: Ask for the deed\nNote: Wrong office\nPAID 4 May\n\nSecond page"
    )


def test_a_form_without_any_text_of_its_own_is_read() -> None:
    assert form([field("name", "Marta Quist")], []).text == "name: Marta Quist"


def test_attachments_are_reported() -> None:
    objects = ["<< /Type /Filespec /F (a.csv) /EF << /F 5 0 R >> >>", "<< /Length 1 >>\nstream\na\nendstream"]
    catalog = "/Names << /EmbeddedFiles << /Names [(a.csv) 4 0 R] >> >>"
    assert one(pdf_of(PAGE, objects=objects, catalog=catalog), "a.pdf").omitted == ("1 attachment",)


def test_a_form_of_xfa_is_reported() -> None:
    xfa = ["<< /Length 1 >>\nstream\n \nendstream"]
    catalog = "/NeedsRendering true /AcroForm << /Fields [] /XFA 4 0 R >>"
    assert one(pdf_of(PAGE, objects=xfa, catalog=catalog), "a.pdf").omitted == ("1 XFA form",)
