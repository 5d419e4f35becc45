"""Labels of charsets, as the web reads them, in every format that has one."""

# ruff: noqa: RUF001 (quotation marks and dashes of many scripts)

import base64
import io
import json
import zipfile

import pytest

from indexing.read.formats.charset import codec, labelled
from indexing.read.formats.load import load_bytes
from indexing.read.web import _to_utf8

CHINESE = "镕基同志，䶮先生与朱镕基在会议上讨论了报告。"
JAPANESE = "会議は来年四月に大阪で開催①髙橋、表示は能力ソ"


def text_of(content: bytes, name: str) -> str:
    return next(iter(load_bytes(content, name))).text


def mail(content: bytes, kind: str, *, subject: bytes = b"Report", coding: bytes = b"8bit") -> bytes:
    head = b"From: a@example.org\nSubject: " + subject + b"\nContent-Type: " + kind.encode()
    return head + b"\nContent-Transfer-Encoding: " + coding + b"\n\n" + content


LABELS = [
    ("gb2312", "gb18030", CHINESE),
    ("x-gbk", "gb18030", CHINESE),
    ("ks_c_5601-1987", "cp949", "똠방각하와 펲시콜라를 마셨다."),
    ("shift_jis", "cp932", JAPANESE),
    ("x-sjis", "cp932", JAPANESE),
    ("iso-8859-1", "cp1252", "She said “the gate – the north one” costs 40 €"),
    ("us-ascii", "cp1252", "It’s 40 € at Müller’s"),
    ("windows-874", "cp874", "ราคา “สี่สิบ” บาท…"),
    ("iso-8859-9", "cp1254", "“Işık” 40 €"),
    ("big5", "big5hkscs", "會議在香港舉行，請準時出席。"),
]


@pytest.mark.parametrize(("label", "encoding", "said"), LABELS)
def test_labels_mean_what_they_mean_on_the_web(label: str, encoding: str, said: str) -> None:
    content = said.encode(encoding)
    page = f'<meta charset="{label}"><p>'.encode() + content + b"</p>"
    assert text_of(page, "a.html") == said
    assert said in text_of(mail(content, f"text/plain; charset={label}"), "a.eml")
    assert said in text_of(mail(b"<p>" + content + b"</p>", f'text/html; charset="{label}"'), "a.eml")
    encoded = base64.b64encode(content)
    word = b"=?" + label.encode() + b"?B?" + encoded + b"?="
    assert f"# {said}" in text_of(mail(b"Words", "text/plain", subject=word), "a.eml")
    assert _to_utf8(content, f"text/html; charset={label}").decode("utf-8-sig") == said


def test_the_mime_charset_of_html_wins_over_its_meta() -> None:
    html = '<meta charset="utf-8"><p>Зимой пчёлы спят в ульях</p>'.encode("cp1251")
    assert "Зимой пчёлы спят в ульях" in text_of(mail(html, "text/html; charset=windows-1251"), "a.eml")


def jis(text: str) -> bytes:
    return b"\x1b$B" + bytes(byte & 0x7F for byte in text.encode("euc_jp")) + b"\x1b(B"


@pytest.mark.parametrize("name", ["a.eml", "a.html", "a.txt"])
def test_iso_2022_jp_with_the_characters_of_nec(name: str) -> None:
    content = jis("会議は来年四月の") + b"\x1b$B-!|b\x1b(B" + b"\x1b(ICJD\x1b(B"
    if name == "a.eml":
        content = mail(b"<p>" + content + b"</p>", "text/html; charset=iso-2022-jp", coding=b"7bit")
    elif name == "a.html":
        content = b"<meta charset=iso-2022-jp><p>" + content + b"</p>"
    assert "会議は来年四月の①髙ﾃﾊﾄ" in text_of(content, name)


def test_a_label_that_is_unknown_or_lies_is_passed_over() -> None:
    said = "Der Müller trägt Säcke über die Brücke"
    for label in ("undefined", "unknown-8bit", "_autodetect", "idna", "gb9999"):
        assert codec(label) == ""
        page = f'<meta http-equiv="Content-Type" content="text/html; charset={label}"><p>{said}</p>'
        assert text_of(page.encode(), "a.html") == said
        assert said in text_of(mail(said.encode("cp1252"), f"text/plain; charset={label}"), "a.eml")
    assert labelled(said.encode(), "iso-8859-1") == said
    assert said in text_of(mail(said.encode("cp1252"), "text/plain; charset=utf-8"), "a.eml")
    assert text_of(f'<meta charset="utf-16"><p>{said}</p>'.encode(), "a.html") == said


JAPANESE_PROSE = "会議は来週の木曜日に大阪で開催されます。資料は前日までに送ってください。"
RUSSIAN = "Склад закрыт до пятницы, ключ у сторожа. "
UNLABELLED = [
    *((encoding, JAPANESE_PROSE) for encoding in ("shift_jis", "cp932", "euc_jp", "iso2022_jp", "utf-16-be")),
    *((encoding, RUSSIAN) for encoding in ("koi8_r", "cp1251", "cp866", "utf-16-le")),
    ("koi8_u", "Склад зачинено до п'ятниці, ключ у сторожа, він живе поруч із їдальнею."),
    ("euc_kr", "회의는 다음 주 목요일에 오사카에서 열립니다. 자료는 전날까지 보내 주십시오."),
    ("gb18030", "请于周五前提交报告，联系人在二楼，电话分机四二。"),
    ("utf-16-le", "请于周五前提交报告，\n联系人在二楼，\n电话分机 42。"),
    ("big5", "請於週五前提交報告，聯絡人在二樓，電話分機四二。"),
    ("iso8859_2", "Žluťoučký kůň příšerně úpěl ďábelské ódy, a řeka je široká."),
    ("cp1254", "Toplantı perşembe günü saat onda, ağaçlı yolun sonundaki büyük binada yapılacak."),
    ("cp874", "การประชุมจะจัดขึ้นในวันพฤหัสบดีหน้า"),
    ("mac_roman", "Le café est fermé à l’été, où l’on mangeait déjà très bien."),
    ("utf-16-be", "बैठक अगले गुरुवार को होगी, कृपया समय पर आएँ।"),
    ("cp1252", "The bar holds 20 °C ± 2 and 5 µm at £ 4, see § 7 and © 2031."),
]


@pytest.mark.parametrize(("encoding", "said"), UNLABELLED)
@pytest.mark.parametrize("times", [1, 40])
def test_a_text_without_a_label_is_read_in_its_charset(encoding: str, said: str, times: int) -> None:
    said = said.strip() if times == 1 else (said * times).strip()
    assert text_of(said.encode(encoding), "a.txt") == said
    assert text_of(("x" * 300_000 + "\n" + said).encode(encoding), "a.txt").endswith(said)


@pytest.mark.parametrize("label", ["iso-8859-1", "windows-1252", "us-ascii"])
def test_a_western_label_over_another_script_is_passed_over(label: str) -> None:
    page = f'<html><head><meta charset="{label}"></head><p>{RUSSIAN}</p></html>'.encode("cp1251")
    assert text_of(page, "a.html") == RUSSIAN.strip()
    greek = "Η αποθήκη είναι κλειστή μέχρι την Παρασκευή."
    assert greek in text_of(mail(greek.encode("cp1253"), f"text/plain; charset={label}"), "a.eml")


def test_controls_in_a_western_text_do_not_make_it_utf_16() -> None:
    said = "Größe\x0f und Länge der Brücke. "
    assert text_of((said * 50).encode("cp1252"), "a.txt") == (said * 50).replace("\x0f", "").strip()


def test_half_width_katakana_beside_the_characters_of_nec() -> None:
    euc = b"\x8e\xb6\x8e\xc4" + "日本".encode("euc_jp") + b"\xad\xa1 " + "会議".encode("euc_jp")
    assert labelled(euc, "euc-jp") == "ｶﾄ日本① 会議"


def test_utf_8_with_a_damaged_byte_is_utf_8() -> None:
    assert text_of(RUSSIAN.encode() + b"\xe9 " + RUSSIAN.encode(), "a.txt") == f"{RUSSIAN}\ufffd {RUSSIAN}".strip()


def test_a_mail_of_charset_undefined_does_not_stop_a_mailbox() -> None:
    start = b"From a@x.org Mon Jan  1 00:00:00 2024\nFrom: a@x.org\nContent-Type: text/plain; charset="
    box = b"".join(start + label + b"\n\nTower " + label + b"\n\n" for label in (b"utf-8", b"undefined", b"ascii"))
    texts = [document.text.splitlines()[-1] for document in load_bytes(box, "a.mbox")]
    assert texts == ["Tower utf-8", "Tower undefined", "Tower ascii"]


def test_raw_bytes_in_the_subject_are_in_the_charset_of_the_mail() -> None:
    raw = mail("正文".encode("gbk"), "text/plain; charset=gb2312", subject="镕基的报告".encode("gbk"))
    assert "# 镕基的报告\n" in text_of(raw, "a.eml")
    assert "# Zażółć gęślą\n" in text_of(mail(b"x", "text/plain", subject="Zażółć gęślą".encode()), "a.eml")


def test_a_character_cut_between_two_encoded_words() -> None:
    content = "报告".encode("gbk")
    words = [b"=?gb2312?B?" + base64.b64encode(part) + b"?=" for part in (content[:3], content[3:])]
    assert "# 报告 done\n" in text_of(mail(b"x", "text/plain", subject=b"\n ".join(words) + b" done"), "a.eml")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_wide_jsonl_keeps_its_records(encoding: str) -> None:
    # U+0A0A and U+010A have the byte of a line break.
    said = ["One \u0a0a here", "Two \u010a there", "Three"]
    lines = "\n".join(json.dumps({"text": text}, ensure_ascii=False) for text in said)
    assert [document.text for document in load_bytes(lines.encode(encoding), "a.jsonl")] == said


def test_jsonl_without_a_label_is_in_one_charset() -> None:
    said = ["昼", "会議は来週の木曜日に大阪で開催されます。", "茶", "資料は前日までに送ってください。", "ア"]
    lines = "\n".join(json.dumps({"text": text}, ensure_ascii=False) for text in said)
    assert [document.text for document in load_bytes(lines.encode("cp932"), "a.jsonl")] == said


def word_rtf(text: str, encoding: str) -> str:
    """As Word writes it: the second byte of a character as itself where it is a letter."""
    return "".join(chr(b) if 0x30 <= b < 0x5B else f"\\'{b:02x}" for b in text.encode(encoding))


@pytest.mark.parametrize(
    "fonts",
    ["", r"{\fonttbl{\f0\fnil\fcharset128 MS Mincho;}}\f0 ", r"{\fonttbl{\f0\fnil\fcharset0 Arial;}}\f0 ",
     r"{\fonttbl{\f0\fnil\fcharset1 Arial;}}\f0 "],
)  # fmt: skip
def test_rtf_in_cp932(fonts: str) -> None:
    said = "テスト能力は表示ソ日本語"
    rtf = r"{\rtf1\ansi\ansicpg932\deff0" + fonts + word_rtf(said, "cp932") + r"\par Next}"
    assert text_of(rtf.encode(), "a.rtf") == f"{said}\nNext"


def test_rtf_of_two_code_pages() -> None:
    fonts = r"{\fonttbl{\f0\fnil\fcharset0 Arial;}{\f1\fnil\fcharset128 Mincho;}}"
    rtf = rf"{{\rtf1\ansi\ansicpg1252\deff0{fonts}\f0 caf\'e9e {{\f1 {word_rtf('テスト', 'cp932')}}}\'e9e}}"
    assert text_of(rtf.encode(), "a.rtf") == "cafée テストée"


def test_an_epub_chapter_in_its_xml_encoding() -> None:
    chapter = '<?xml version="1.0" encoding="shift_jis"?><html><body><p>表示①</p></body></html>'.encode("cp932")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("mimetype", "application/epub+zip")
        archive.writestr("META-INF/container.xml", '<container><rootfile full-path="a.opf"/></container>')
        archive.writestr("a.opf", '<package><item id="a" href="a.xhtml"/><itemref idref="a"/></package>')
        archive.writestr("a.xhtml", chapter)
    assert text_of(buffer.getvalue(), "a.epub") == "表示①"
