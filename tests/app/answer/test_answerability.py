"""What is weighed of the passages, by hand, and which model weighs it."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.answer.answerability import FITTED, Answerability, answerability_of, features, missing_names
from app.settings import AppSettings
from services.errors import BadRequestError
from services.presets import presets

PUMP = "Pump P-17 was replaced in March 2024 by Ana Ruiz. It cost 1,200 euros."
TOWER = "The lighthouse on Skerry Point was built in 1862."
OWN = """reranker = "cross-encoder/ms-marco-MiniLM-L-12-v2"
threshold = 0.25
floor = -9.0
bias = 1.0
[weights]
gap = 0.5
"""


def test_the_features_of_six_passages() -> None:
    logits = np.array([1.0, -7.0, 3.0, -1.0, -9.0, 0.0], np.float32)
    found = features("Who paid for pump P-17 in 2024?", logits, PUMP, floor=-11.0)
    assert found == {"top_logit": 3, "gap": 10, "name_missing": 0}, "to the fifth, -7"
    assert features("Did Ana Ruiz see Skerry Point?", logits, PUMP, floor=-11.0)["name_missing"] == 1
    few = features("Who?", logits[:4], PUMP, floor=-11.0)
    assert few == {"top_logit": 3, "gap": 14, "name_missing": 0}, "the floor stands for the absent"
    for order in ([2, 1, 0, 5, 4, 3], [5, 4, 3, 2, 1, 0]):
        assert features("Who paid for pump P-17 in 2024?", logits[order], PUMP, floor=-11.0) == found


@pytest.mark.parametrize(
    ("question", "missing"),
    [
        ("Who replaced the pumps?", []),
        ("What did Borealis pay for P-17 in March 2024?", ["Borealis"]),
        ("What did Borealis and Ana's Skerry pay for P-18?", ["Borealis", "18"]),
        ("Did it cost 1,200 euros?", []),
        ("Did it cost 1300 euros?", ["1300"]),
        ("Was the first of two towers built in 1862, or in 1863?", ["1863"]),
        ("Pump Setup For Beginners", []),
        ("Qui a remplacé la pompe à Oslo en 2023 ?", []),
    ],
)
def test_the_names_that_no_passage_has(question: str, missing: list[str]) -> None:
    """None where passages and question are of two languages, or capitals say nothing."""
    assert sorted(missing_names(question, [PUMP, TOWER])) == sorted(missing)


def test_a_noun_of_a_german_question_is_no_name() -> None:
    text = "Die Pumpe P-17 wurde im März 2024 von Ana Ruiz ersetzt, und das war nicht teuer."
    assert missing_names("Wer hat die Anlage P-17 nach dem Ausfall im Jahr 2025 ersetzt?", [text]) == ("2025",)


def settings(data_dir: Path, score: str = "ms-marco-MiniLM-L-12-v2", **ask: Any) -> AppSettings:
    return AppSettings.load(data_dir=data_dir, score={"model": score}, ask=ask)


def test_each_reranker_has_a_model_that_refuses_something_and_more_logit_is_more_likely(tmp_path: Path) -> None:
    for preset in (each for each in presets() if each.task == "score"):
        model = answerability_of(settings(tmp_path, preset.name))
        assert model is not None, preset.name
        likely = [
            model.probability(features("Who replaced P-17?", np.array([top, *[-8.0] * 4]), PUMP, model.floor))
            for top in (-8.0, -4.0, 0.0, 4.0, 8.0)
        ]
        assert likely == sorted(likely), preset.name
        assert likely[0] < model.threshold < likely[-1], preset.name
        assert model.reranker in ("", preset.model)


def test_one_of_the_data_folder_counts_for_its_reranker_alone(tmp_path: Path) -> None:
    (tmp_path / FITTED).write_text(OWN)
    model = answerability_of(settings(tmp_path))
    assert model is not None
    assert (model.threshold, model.weights) == (0.25, {"gap": 0.5})
    assert model.probability({"gap": 2.0}) == pytest.approx(1 / (1 + math.exp(-2)))
    other = answerability_of(settings(tmp_path, "bge-reranker-v2-m3"))
    assert other is not None
    assert other.threshold != 0.25
    assert answerability_of(settings(tmp_path, answerability="off")) is None
    assert answerability_of(settings(tmp_path, "/models/unknown")) is None


def test_a_file_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text(OWN)
    assert answerability_of(settings(tmp_path, answerability=str(own))) == Answerability(
        reranker="cross-encoder/ms-marco-MiniLM-L-12-v2", threshold=0.25, floor=-9, bias=1, weights={"gap": 0.5}
    )
    with pytest.raises(BadRequestError, match="was fitted for cross-encoder/ms-marco"):
        answerability_of(settings(tmp_path, "bge-reranker-v2-m3", answerability=str(own)))
    for wrong in (OWN.replace("gap", "gape"), OWN.replace("threshold", "limit"), "no = toml ="):
        own.write_text(wrong)
        with pytest.raises(BadRequestError, match=r"own\.toml is no model"):
            answerability_of(settings(tmp_path, answerability=str(own)))
    with pytest.raises(BadRequestError, match=r"none\.toml"):
        answerability_of(settings(tmp_path, answerability=str(tmp_path / "none.toml")))
