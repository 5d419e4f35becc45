import pytest

from app.answer.languages import answer_in, language_of
from services import CONFIGS


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("en", "The pump in the hall was replaced, and it is new."),
        ("de", "Die Pumpe in der Halle wurde ersetzt, und sie ist neu."),
        ("fr", "La pompe dans le hall a été remplacée, et elle est neuve."),
        ("ru", "Насос в зале заменили."),  # noqa: RUF001
        ("zh", "大厅里的水泵已经更换。"),
        ("en", "7 x 9"),
        ("en", "Canteen: 5512"),
        ("de", "Wie viele Punkte gab die Verteidigung ab?"),
        ("es", "¿Cuántos puntos perdió la defensa?"),
        ("ro", "Câte puncte a cedat apărarea echipei?"),
        ("tr", "Savunma kaç puan verdi?"),
        ("vi", "Hàng phòng ngự đã để mất bao nhiêu điểm?"),
        ("pl", "Ile punktów straciła obrona?"),
        ("el", "Πόσους πόντους παραχώρησε η άμυνα;"),
        ("hi", "रक्षा ने कितने अंक दिए?"),
        ("ar", "كم عدد النقاط التي خسرها الدفاع؟"),
        ("th", "ฝ่ายรับเสียไปกี่คะแนน"),
        ("ja", "守備は何点を失いましたか"),
        ("ko", "수비는 몇 점을 내주었나요?"),
    ],
)
def test_the_language_of_a_text(code: str, text: str) -> None:
    assert language_of(text) == code


def test_the_fixed_sentences_of_a_language_are_in_it() -> None:
    codes = {path.stem for path in (CONFIGS / "languages").glob("*.toml")}
    assert codes >= {"ar", "de", "el", "en", "es", "hi", "ro", "ru", "th", "tr", "vi", "zh"}
    for name in ("not_found", "no_generator", "ungrounded"):
        assert len({answer_in(code, name) for code in codes}) == len(codes)
    scripts = {"ar", "de", "el", "en", "hi", "ja", "ko", "ru", "th", "tr", "vi", "zh"}
    assert [code for code in scripts if language_of(answer_in(code, "not_found")) != code] == []
    assert answer_in("xx", "not_found") == "The documents do not answer this question."
