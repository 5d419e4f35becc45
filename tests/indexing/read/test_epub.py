"""Books whose parts are encrypted."""

import io
import zipfile

import pytest

from indexing.errors import UnreadableError
from indexing.read.formats.load import load_bytes


def book(*encrypted: str) -> bytes:
    entry = (
        "<enc:EncryptedData><enc:EncryptionMethod Algorithm='http://www.idpf.org/2008/embedding'/><enc:CipherData>"
        "<enc:CipherReference URI='{}'/></enc:CipherData></enc:EncryptedData>"
    )
    names = "xmlns='urn:oasis:names:tc:opendocument:xmlns:container' xmlns:enc='http://www.w3.org/2001/04/xmlenc#'"
    parts = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": '<container><rootfile full-path="o/a.opf"/></container>',
        "META-INF/encryption.xml": f"<encryption {names}>{''.join(map(entry.format, encrypted))}</encryption>",
        "o/a.opf": '<package><item id="a" href="the%20one.xhtml"/><itemref idref="a"/></package>',
        "o/the one.xhtml": "<html><body><p>Begin.</p></body></html>",
        "o/fonts/a.otf": "font",
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return buffer.getvalue()


def test_a_book_with_obfuscated_fonts_is_read() -> None:
    (document,) = load_bytes(book("o/fonts/a.otf"), "a.epub")
    assert document.text == "Begin."


@pytest.mark.parametrize("name", ["o/the%20one.xhtml", "/o/the one.xhtml"])
def test_a_book_with_an_encrypted_chapter_is_refused(name: str) -> None:
    with pytest.raises(UnreadableError, match="protected: its chapters are encrypted"):
        list(load_bytes(book("o/fonts/a.otf", name), "a.epub"))
