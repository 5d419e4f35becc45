"""Mails of Outlook: which body is read, attached mails, RTF. What olefile finds in a file is given here by name."""

import io
import struct
from collections import Counter

import compressed_rtf
import pytest

from indexing.read.formats import msg

HTML, PLAIN, RTF = "__substg1.0_10130102", "__substg1.0_1000001F", "__substg1.0_10090102"
SAID = "The total is 914 crowns, due on 3 June."


class Ole:
    """The streams of an MSG."""

    def __init__(self, streams: dict[str, bytes]) -> None:
        self._streams = streams

    def exists(self, name: str) -> bool:
        return name in self._streams

    def openstream(self, name: str) -> io.BytesIO:
        return io.BytesIO(self._streams[name])

    def listdir(self) -> list[list[str]]:
        return [name.split("/") for name in self._streams]


def read(streams: dict[str, bytes | str], omitted: Counter[str] | None = None) -> str:
    wide = {name: value.encode("utf-16-le") if isinstance(value, str) else value for name, value in streams.items()}
    return msg._letter(Ole(wide), Counter() if omitted is None else omitted).text


def test_an_msg_of_8_bit_strings_is_in_its_code_page() -> None:
    pages = struct.pack("<IIQIIQ", 0x3FFD0003, 6, 932, 0x3FDE0003, 6, 51949)
    streams: dict[str, bytes | str] = {
        "__properties_version1.0": bytes(32) + pages,
        "__substg1.0_0037001E": "表示①".encode("cp932"),
        "__substg1.0_10130102": "<p>똠방각하</p>".encode("cp949"),
    }
    assert read(streams) == "# 表示①\n\n똠방각하"


@pytest.mark.parametrize("plain", ["", " \r\n", "This mail is in HTML, which your program does not show.", "The total"])
def test_a_stub_of_a_plain_body_does_not_win(plain: str) -> None:
    assert read({PLAIN: plain, HTML: f"<p>{SAID}</p>".encode()}) == SAID
    assert read({PLAIN: plain, RTF: compressed_rtf.compress(rb"{\rtf1\ansi " + SAID.encode() + b"}")}) == SAID


def test_a_plain_body_that_says_the_same_is_read_and_is_no_markdown() -> None:
    body = "# yum install\r\n```\r\n" + SAID
    assert read({PLAIN: body, HTML: f"<p># yum install ``` {SAID}</p>".encode()}) == f"\\# yum install\n\\```\n{SAID}"


@pytest.mark.parametrize("compressed", [True, False])
def test_a_body_in_rtf_alone_is_read(compressed: bool) -> None:
    rtf = rb"{\rtf1\ansi\ansicpg1252 Caf\'e9\par # yum\par " + b"more and more " * 400 + b"}"
    text = read({RTF: compressed_rtf.compress(rtf, compressed)})
    assert text.startswith("Café\n\\# yum\nmore and more more")
    assert text.count("more") == 800


def test_html_within_rtf_is_read_as_html() -> None:
    rtf = (
        rb"{\rtf1\ansi\ansicpg1252\fromhtml1 \deff0{\fonttbl{\f0\fswiss Arial;}}{\*\htmltag19 <html>}"
        rb"{\*\htmltag64 <h2>}\htmlrtf {\b\htmlrtf0 Fees{\*\htmltag72 </h2>}\htmlrtf }\par\htmlrtf0 "
        rb"{\*\htmltag148 <table><tr><th>}Zone{\*\htmltag156 </th><th>}Fee{\*\htmltag156 </th></tr><tr><td>}Caf\'e9"
        rb"{\*\htmltag156 </td><td>}9 {\*\htmltag84 &lt;}\htmlrtf <\htmlrtf0  10{\*\htmltag156 </td></tr></table>}}"
    )
    assert read({RTF: compressed_rtf.compress(rtf)}) == ("## Fees\n\n| Zone | Fee |\n| --- | --- |\n| Café | 9 < 10 |")


def test_a_damaged_body_in_rtf_is_reported() -> None:
    omitted: Counter[str] = Counter()
    assert read({PLAIN: "Stub", RTF: compressed_rtf.compress(b"{\\rtf1 words}")[:-4] + b"abcd"}, omitted) == "Stub"
    assert omitted == {"damaged RTF body": 1}


def test_an_attached_mail_has_its_own_sender_and_date() -> None:
    sent = struct.pack("<IIQ", 0x00390040, 6, 135_692_388_000_000_000)
    inner = "__attach_version1.0_#00000000/__substg1.0_3701000D/"
    deeper = inner + inner
    text = read({
        "__substg1.0_0037001F": "Fwd", PLAIN: "See below.", "__substg1.0_0C1A001F": "Ann",
        "__properties_version1.0": bytes(32),
        f"{inner}__properties_version1.0": bytes(24) + sent,
        f"{inner}__substg1.0_0037001F": "Tender", f"{inner}__substg1.0_0C1A001F": "Cy",
        f"{inner}__substg1.0_0C1F001F": "cy@example.org", f"{inner}{PLAIN}": "Halden Works won.",
        f"{deeper}__properties_version1.0": bytes(24), f"{deeper}{PLAIN}": "The bids.",
        "__attach_version1.0_#00000001/__substg1.0_3704001F": "PLAN.PDF",
        "__attach_version1.0_#00000002/__substg1.0_37010102": b"data",
    })  # fmt: skip
    assert text == (
        "# Fwd\n\nFrom: Ann\n\nSee below.\n\n## Tender\n\nFrom: Cy <cy@example.org>\n"
        "Date: Sun, 29 Dec 2030 09:00:00 +0000\n\nHalden Works won.\n\nThe bids.\n\nAttachments: PLAN.PDF, unnamed"
    )


def test_an_attached_mail_that_is_encrypted_is_reported() -> None:
    omitted: Counter[str] = Counter()
    inner = "__attach_version1.0_#00000000/__substg1.0_3701000D/"
    streams: dict[str, bytes | str] = {
        f"{inner}__substg1.0_001A001F": "IPM.Note.SMIME",
        f"{inner}__properties_version1.0": b"",
    }
    assert read({PLAIN: "Words.", **streams}, omitted) == "Words."
    assert omitted == {"encrypted mail": 1}
