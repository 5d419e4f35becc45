"""What a mail program shows of a mail, each part once."""

import base64

from indexing.document import Document
from indexing.markdown import headings
from indexing.read.formats.load import load_bytes

FORWARD = (
    "Content-Type: message/rfc822\n\nFrom: Cy <cy@example.org>\nDate: Mon, 3 Mar 2031 09:00:00 +0000\n"
    "Subject: Tender\nContent-Type: text/plain\n\nHalden Works won.\n"
)


def plain(text: str, headers: str = "") -> str:
    return f"Content-Type: text/plain; charset=utf-8\n{headers}\n{text}\n"


def html(text: str, headers: str = "") -> str:
    return f"Content-Type: text/html; charset=utf-8\n{headers}\n{text}\n"


def multi(kind: str, *parts: str, boundary: str = "b0") -> str:
    inner = "".join(f"--{boundary}\n{part}\n" for part in parts)
    return f'Content-Type: multipart/{kind}; boundary="{boundary}"\n\n{inner}--{boundary}--\n'


def read(part: str) -> Document:
    (document,) = load_bytes(f"From: Ann <ann@example.org>\nSubject: Fwd\n{part}".encode(), "a.eml")
    return document


def body(part: str) -> str:
    return read(part).text.removeprefix("# Fwd\n\nFrom: Ann <ann@example.org>\n\n")


def test_an_empty_or_stub_plain_text_does_not_win_over_the_html() -> None:
    said = "<p>The total is <b>914</b> crowns, due on 3 June.</p>"
    stub = "This message is in HTML. Your mail program does not show HTML, so open it in a browser, please."
    for alternative in ("\n \n", stub, "<!-- -->"):
        assert body(multi("alternative", plain(alternative), html(said))) == (
            "The total is **914** crowns, due on 3 June."
        )


def test_the_plain_text_stands_for_the_html_that_says_the_same() -> None:
    said = "The total is 914 crowns."
    related = multi("related", html(f"<p>{said}</p>"), "Content-Type: image/png\n\nabc\n", boundary="b1")
    assert body(multi("alternative", plain(said), related)) == said
    assert body(multi("alternative", plain(said), html("<img src=a>"))) == said


def test_all_texts_of_a_mail_are_read() -> None:
    parts = plain("One."), html("<p>Two.</p>"), plain("Three.", 'Content-Disposition: inline; filename="c.txt"\n')
    pdf = 'Content-Type: application/pdf; name="d.pdf"\n\nabc\n'
    notes = plain("Not shown.", 'Content-Disposition: attachment; filename="e.txt"\n')
    assert body(multi("mixed", *parts, pdf, notes)) == "One.\n\nTwo.\n\nThree.\n\nAttachments: d.pdf, e.txt"


def test_the_html_of_a_mail_that_is_cut_by_an_attachment() -> None:
    rich = multi("mixed", html("<p>Before the plan.</p>"), 'Content-Type: application/pdf; name="p.pdf"\n\nx\n',
                 html("<p>And the fee is nine crowns.</p>"), boundary="b1")  # fmt: skip
    assert body(multi("alternative", plain("Before the plan."), rich)) == (
        "Before the plan.\n\nAnd the fee is nine crowns.\n\nAttachments: p.pdf"
    )


def test_a_forwarded_mail_has_its_own_sender_date_and_subject() -> None:
    document = read(multi("mixed", plain("See below."), FORWARD))
    assert document.text.endswith(
        "See below.\n\n## Tender\n\nFrom: Cy <cy@example.org>\nDate: Mon, 3 Mar 2031 09:00:00 +0000"
        "\n\nHalden Works won."
    )
    assert document.metadata["from"] == "Ann <ann@example.org>"


def test_a_forwarded_mail_as_attachment_or_in_base64_is_read() -> None:
    attached = FORWARD.replace("\n\n", '\nContent-Disposition: attachment; filename="t.eml"\n\n', 1)
    assert "Halden Works won." in body(multi("mixed", plain("See."), attached))
    inner = base64.b64encode(FORWARD.split("\n\n", 1)[1].encode()).decode()
    coded = f"Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n{inner}\n"
    assert "## Tender\n\nFrom: Cy" in body(multi("mixed", plain("See."), coded))


def test_a_bounce_tells_its_status_and_the_mail_that_came_back() -> None:
    status = "Reporting-MTA: dns; x\n\nFinal-Recipient: rfc822; bo@x\nStatus: 5.1.1\n"
    status = f"Content-Type: message/delivery-status\n\n{status}"
    text = body(multi("report", plain("Not delivered."), status, FORWARD))
    assert "Not delivered.\n\nReporting-MTA: dns; x\n\nFinal-Recipient: rfc822; bo@x\nStatus: 5.1.1" in text
    assert "Halden Works won." in text


def test_alternatives_in_alternatives_are_read_in_time() -> None:
    part = plain("Deep down.")
    for depth in range(30):
        part = multi("alternative", part, html(f"<p>Deep down. {depth}</p>"), boundary=f"n{depth}")
    assert "Deep down." in body(part)


def test_a_line_of_plain_text_is_no_heading_and_no_fence() -> None:
    said = "To do:\r\n# yum install\r\n```\r\n## then\r\n#tag\r\nC# code"
    text = read(plain(said)).text
    assert text.endswith("To do:\n\\# yum install\n\\```\n\\## then\n#tag\nC# code")
    assert [heading.title for heading in headings(text, authored=False)] == ["Fwd"]


def flowed(text: str, more: str = "") -> str:
    return body(f"Content-Type: text/plain; charset=utf-8; format=Flowed{more}\n\n{text}")


def test_lines_of_a_flowed_mail_are_joined() -> None:
    assert flowed("The lift goes up \nand down \nagain.\nIt stops.\n") == "The lift goes up and down again.\nIt stops."
    assert flowed(" From here \n on.\n  - an item\n") == "From here on.\n - an item"
    assert flowed(">> Old \n>> words. \n> Newer \n> words. \nMine.\n") == ">> Old words.\n> Newer words.\nMine."
    assert flowed("> > Old \n> > words. \n> Newer.\n>Same.\n") == ">> Old words.\n> Newer.\n> Same."
    assert flowed("Regards, \n-- \nAnn\nBo\n") == "Regards,\n--\nAnn\nBo"


def test_deleted_blanks_of_a_flowed_mail_join_words() -> None:
    assert flowed("会議は \n大阪で \n開催。\n", "; delsp=Yes") == "会議は大阪で開催。"
    assert body(plain("Not flowed \nhere.")) == "Not flowed\nhere."


EVENT = (
    "BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART;TZID=Europe/Oslo:20310304T101500\nDTEND:20310304T111500Z\n"
    'SUMMARY;LANGUAGE=en:Yard \n meeting\nLOCATION:Quay 4\\, hut\nORGANIZER;CN="Ann: Reed":mailto:ann@example.org\n'
    'BEGIN:VALARM\nDESCRIPTION:Ring\nEND:VALARM\nDESCRIPTION;ALTREP="a:b":Bring\\nkeys.\nEND:VEVENT\n'
    "BEGIN:VTODO\nDUE;VALUE=DATE:20310305\nSUMMARY:Paint\nEND:VTODO\nEND:VCALENDAR\n"
)
LINES = (
    "Event: Yard meeting\nStart: 2031-03-04 10:15 (Europe/Oslo)\nEnd: 2031-03-04 11:15 UTC\nLocation: Quay 4, hut\n"
    "Organizer: Ann: Reed <ann@example.org>\nDescription: Bring\nkeys.\n\nEvent: Paint\nDue: 2031-03-05"
)


def test_an_invitation_has_its_event_and_a_calendar_its_events() -> None:
    invitation = f"Content-Type: text/calendar; method=REQUEST; charset=utf-8\n\n{EVENT}"
    assert body(multi("alternative", plain("Come."), html("<p>Come.</p>"), invitation)) == f"Come.\n\n{LINES}"
    assert body(invitation) == LINES
    (document,) = load_bytes(EVENT.encode(), "a.ics")
    assert (document.text, document.media_type) == (LINES, "text/calendar")


def test_a_card_without_a_name_is_named_among_the_attachments() -> None:
    card = "Content-Type: text/vcard\n\nBEGIN:VCARD\nFN:Ann\nEND:VCARD\n"
    assert body(multi("mixed", plain("Hello."), card)) == "Hello.\n\nAttachments: unnamed"
