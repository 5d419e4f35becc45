"""JSON Lines by another name, empty text fields, subtitles with angle brackets, a text with one NUL."""

from indexing.read.formats.load import load_bytes


def texts(content: bytes, name: str) -> list[str]:
    return [document.text for document in load_bytes(content, name)]


def test_json_lines_named_json_are_records() -> None:
    assert texts(b'{"text": "One."}\n{"text": "Two."}\n', "a.json") == ["One.", "Two."]
    assert texts(b'{"a": {"b": 1},\n"c": 2}\n', "a.json") == ["a:\n  b: 1\nc: 2"]


def test_the_first_field_with_text_is_the_text() -> None:
    assert texts(b'{"text": " ", "content": "", "body": "Every nine minutes."}', "a.jsonl") == ["Every nine minutes."]


def test_angle_brackets_in_subtitles_are_text() -> None:
    cue = b"WEBVTT\n\n00:01.000 --> 00:02.000\n<c.loud>Where</c> x < 5 and y > 3, <00:01.500><i>a<b</i>.\n"
    assert texts(cue, "a.vtt") == ["Where x < 5 and y > 3, a<b."]


def test_subtitles_without_their_marks() -> None:
    vtt = (
        b"WEBVTT\n\nNOTE Not\nspoken &amp; so\n\nSTYLE\n::cue { color:red}\n\n7\n00:01.000 --> 00:02.000 align:start\n"
        b"<v.loud Bob &amp; Co>Tea &amp; cake</v> &lt;b&gt; x &lt; 5\n"
    )
    assert texts(vtt, "a.vtt") == ["Bob & Co: Tea & cake <b> x < 5"]
    srt = b'1\n00:00:01,000 --> 00:00:02,000\n{\\an8}<font color="#fff"><i>Stop {now}</i></font>{\\pos(1,2)} x < 5\n'
    assert texts(srt, "a.srt") == ["Stop {now} x < 5"]


def test_metadata_has_values() -> None:
    (document,) = load_bytes(
        b'{"text": "", "content": " ", "body": "Nine minutes.", "operator": "", "line": 4}', "a.jsonl"
    )
    assert document.text == "Nine minutes."
    assert dict(document.metadata) == {"line": 4}


def test_a_second_text_that_is_too_long_for_metadata_is_text() -> None:
    (document,) = load_bytes(b'{"text": "First.", "abstract": "' + b"Second. " * 1000 + b'"}', "a.jsonl")
    assert document.text.startswith("First.\n\nabstract: Second.")


def test_a_text_with_one_nul_is_read() -> None:
    assert texts(b"The ferry\0 runs hourly.\n" * 1, "a.txt") == ["The ferry runs hourly."]
    assert texts("The ferry".encode("utf-16-le"), "a.txt") == ["The ferry"]


def test_every_field_of_a_record_is_metadata_or_text() -> None:
    record = (
        b'{"title": "Ferry", "text": "It runs hourly.", "tel\\u00a0no": "4\\u00a05", "at": "Quay 4\\nHarbour",'
        b' "tags": ["boat", "sea"], "name": "MS Ada", "price": {"adult": 12}, "captain": null}'
    )
    (document,) = load_bytes(record, "a.jsonl")
    assert document.title == "Ferry"
    assert document.text == "It runs hourly.\n\nprice:\n  adult: 12"
    assert dict(document.metadata) == {"tel no": "4 5", "at": "Quay 4 Harbour", "tags": "boat, sea", "name": "MS Ada"}
