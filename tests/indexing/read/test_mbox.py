"""Where a mailbox is cut, and what is kept of one with a bad mail."""

import pytest

from indexing.document import Document
from indexing.errors import UnreadableError
from indexing.read.formats import eml
from indexing.read.formats.extract import Extract, Limits
from indexing.read.formats.load import load_bytes


def mailed(number: int, body: str) -> bytes:
    head = f"From a@x.org Mon Jan  1 00:00:00 2024\nFrom: a@x.org\nSubject: Mail {number}\nMessage-ID: <m{number}@x>\n"
    return f"{head}\n{body}\n\n".encode()


def read(box: bytes, limits: Limits | None = None) -> tuple[list[Document], str]:
    """The documents, and why others are missing."""
    documents: list[Document] = []
    try:
        documents.extend(load_bytes(box, "a.mbox", limits))
    except UnreadableError as exc:
        return documents, str(exc)
    return documents, ""


@pytest.mark.parametrize(
    "prose",
    [
        "From Monday at 10:30 the office is closed.",
        "From Monday at 10:30\nNote: bring a coat",
        "From Monday at 10:30\nSubject: to change",
        "From here to 10:30\n\nFrom: is a word with a colon",
        "From a@x.org Mon Jan  1 00:00:00 2024",
        "From Monday at 10:30 the yard is shut.\nFrom: is a word with a colon",
        "From Ann we had on Mon 4 at 10:15 this\nMessage-ID: missing",
        "From Tue Mar 4 10:15 on it is shut\nReceived: no complaints",
    ],
)
def test_a_line_of_the_body_ends_no_mail(prose: str) -> None:
    documents, reason = read(mailed(1, f"First.\n\n{prose}\n\nThe fee is nine crowns.") + mailed(2, "Second."))
    assert [document.title for document in documents] == ["Mail 1", "Mail 2"]
    assert documents[0].text.endswith(f"First.\n\n{prose}\n\nThe fee is nine crowns.")
    assert reason == ""


@pytest.mark.parametrize(
    "line",
    ["From - Tue Mar 04 10:15:00 2031", "From MAILER-DAEMON Fri Jul  8 12:08:34 2031", "From a@x 2031-03-04T10:15:00Z",
     "From 12@xxx Tue Mar 04 10:15:00 +0000 2031", "From ann at x.org  Tue Mar  4 10:15:00 2031"],
)  # fmt: skip
def test_separators_of_many_programs(line: str) -> None:
    second = mailed(2, "Second.").split(b"\n", 1)[1]
    documents, _ = read(mailed(1, "First.") + line.encode() + b"\n" + second)
    assert [document.title for document in documents] == ["Mail 1", "Mail 2"]


def test_the_mails_before_and_after_one_that_is_too_large_are_kept() -> None:
    box = mailed(1, "First.") + mailed(2, "Long.\n" * 1000) + mailed(3, "Third.")
    documents, reason = read(box, Limits(max_part_bytes=2000))
    assert [document.title for document in documents] == ["Mail 1", "Mail 3"]
    assert reason == "1 of 3 mails cannot be read, the first: mail 2 (too large: more than 2,000 bytes)"


def test_the_mails_before_and_after_one_that_a_library_trips_over_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    load = eml.load

    def tripping(content: bytes, media_type: str, limits: Limits) -> Extract:
        if b"Mail 2" in content:
            raise ValueError("no such codec")
        return load(content, media_type, limits)

    monkeypatch.setattr(eml, "load", tripping)
    documents, reason = read(mailed(1, "First.") + mailed(2, "?") + mailed(3, "Third."))
    assert [document.title for document in documents] == ["Mail 1", "Mail 3"]
    assert "1 of 3 mails cannot be read, the first: mail 2 (broken mail: ValueError: no such codec)" in reason
