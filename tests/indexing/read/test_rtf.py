"""RTF: tables, powers, notes, hidden text, pictures."""

import pytest

from indexing.document import Document
from tests.indexing.read.test_formats import one


def read(body: str) -> Document:
    return one(("{\\rtf1\\ansi\\ansicpg1252 " + body + "}").encode(), "a.rtf")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (r"holds 10{\super 6} litres", "holds 10^6 litres"),
        (r"2\super 10\nosupersub  bytes", "2^10 bytes"),
        (r"2{\up6 10} bytes and 5{\up1 5}", "2^10 bytes and 55"),
        (r"CO{\sub 2}", "CO2"),
        (r"\uc0 10{\super 6}", "10^6"),
        (r"litres{\super\chftn}{\footnote\pard {\super\chftn} In 2031.\par} a day", "litres [In 2031.] a day"),
    ],
)
def test_powers_and_notes(body: str, text: str) -> None:
    assert read(body).text == text


def test_hidden_text_is_dropped_and_pictures_are_reported() -> None:
    pictures = r"{\*\shppict{\pict\pngblip 89}}{\nonshppict{\pict\wmetafile8 01}}"
    found = read(rf"Seen{{\v  order}} \v more orders\v0 and {pictures}read.")
    assert found.text.split() == ["Seen", "and", "read."]
    assert found.omitted == ("2 hidden texts", "1 picture")


def test_tables_have_names_and_keep_the_text_around_them() -> None:
    def row(*cells: str) -> str:
        return r"\trowd\cellx1000\cellx2000\pard\intbl " + "".join(rf"{cell}\cell " for cell in cells) + r"\row "

    first, second = row("Zone", "Fee") + row("Blue", "3|4"), row("Key", "Door") + row("K4", "1")
    found = read(rf"Above\par {first}\pard Between\par {second}\pard Below")
    tables = "| Zone | Fee |\n| --- | --- |\n| Blue | 3\\|4 |", "| Key | Door |\n| --- | --- |\n| K4 | 1 |"
    assert found.text.split("\n\n") == ["Above", tables[0], "Between", tables[1], "Below"]
