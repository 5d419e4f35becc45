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


def test_a_text_with_one_nul_is_read() -> None:
    assert texts(b"The ferry\0 runs hourly.\n" * 1, "a.txt") == ["The ferry runs hourly."]
    assert texts("The ferry".encode("utf-16-le"), "a.txt") == ["The ferry"]
