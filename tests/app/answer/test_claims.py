from app.answer.claims import claims_of


def test_the_sentences_of_a_text_are_its_claims() -> None:
    text = "# Pumps\n\nP-17 was replaced. It is new.\n\n- The limit is 8 bar.\n\n```\nx = 1\n```\nIt holds."
    claims = claims_of(text)
    assert [claim.text for claim in claims] == ["P-17 was replaced.", "It is new.", "The limit is 8 bar.", "It holds."]
    assert [text[claim.start : claim.end] for claim in claims] == [claim.text for claim in claims]


def test_a_claim_that_leans_on_the_one_before_is_searched_for_with_it() -> None:
    assert [claim.query for claim in claims_of("P-17 was replaced. It is new. Ana did it.")] == [
        "P-17 was replaced.",
        "P-17 was replaced. It is new.",
        "Ana did it.",
    ]


def test_a_text_without_a_sentence_claims_nothing() -> None:
    assert claims_of("") == claims_of("# A heading") == claims_of("```\ncode\n```") == []
