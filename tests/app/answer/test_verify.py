import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.answer.segments import sentences
from app.answer.terms import terms
from app.answer.verify import verify

PASSAGE = (
    "Pump 17 is not approved for continuous operation above 40 bar. Acme acquired Borealis in 2019. "
    "The limit was raised from 30 to 45 days. Revenue fell by 12 percent in 2023. "
    "The moat was drained by Messrs Hobbs in March 1868. Members may bring two guests unless the hall is full. "
    "It usually opens at 9. About twenty-seven boats, worth $1.2 million, were lost."
)


@pytest.mark.parametrize(
    "claim",
    [
        "Revenue fell by 12 percent in 2023.",
        "In 2023, revenue fell by 12%.",
        "Acme acquired Borealis.",
        "Acme bought Borealis in 2019.",
        "Borealis was acquired by Acme in 2019.",
        "The limit was raised to 45 days.",
        "Pump 17 isn't approved for operation above 40 bar.",
        "Messrs Hobbs drained the moat in 1868 [1].",
        "The moat was drained in March 1868.",
        "Members may bring 2 guests unless the hall is full.",
        "About 27 boats were lost.",
        "About 27 boats, worth 1,200,000 dollars, were lost.",
    ],
)
def test_a_true_claim_is_verified(claim: str) -> None:
    assert verify(claim, PASSAGE).verified, verify(claim, PASSAGE).why


@pytest.mark.parametrize(
    ("claim", "support"),
    [
        ("Pump 17 is approved for continuous operation above 40 bar.", "contradicted"),
        ("Pump 17 is not approved for continuous operation below 40 bar.", "contradicted"),
        ("Revenue did not fall by 12 percent in 2023.", "contradicted"),
        ("Revenue rose by 12 percent in 2023.", "contradicted"),
        ("Revenue fell by 12 percent in 2019.", "unsupported"),
        ("Borealis acquired Acme in 2019.", "unsupported"),
        ("Acme was acquired by Borealis in 2019.", "unsupported"),
        ("The limit was raised from 45 to 30 days.", "unsupported"),
        ("The limit was raised from 30 to 45 weeks.", "unsupported"),
        ("The moat was drained by Messrs Hobbs in 2019.", "unsupported"),
        ("Acme drained the moat.", "unsupported"),
        ("Members may bring two guests.", "unsupported"),
        ("Members bring two guests unless the hall is full.", "unsupported"),
        ("All members may bring two guests unless the hall is full.", "contradicted"),
        ("It opens at 9.", "unsupported"),
        ("27 boats were lost.", "unsupported"),
        ("The moat was drained by Messrs Hobbs in March 1868 after a secret meeting with aliens.", "unsupported"),
        ("The answer is:", "unsupported"),
        ("", "unsupported"),
    ],
)
def test_a_false_claim_is_not_verified(claim: str, support: str) -> None:
    verdict = verify(claim, PASSAGE)
    assert (verdict.support, verdict.verified) == (support, False)


def test_the_quote_is_the_sentence_that_carries_the_claim() -> None:
    verdict = verify("Revenue fell in 2023.", PASSAGE)
    assert PASSAGE[verdict.start : verdict.end] == "Revenue fell by 12 percent in 2023."


@given(st.text(alphabet="0123456789.,-%$ amillontwebyM'|\n日", max_size=60))
def test_any_text_is_read(text: str) -> None:
    """Each sentence of a passage that says something is carried by the passage."""
    for start, end in sentences(text):
        verdict = verify(text[start:end], text)
        assert verdict.verified or verdict.score == 0, verdict.why


def test_the_heading_names_what_the_passage_is_about() -> None:
    passage = "The doors open at 9. They close at 17."
    assert verify("In Berlin the doors open at 9.", passage, heading="Berlin").verified
    assert not verify("In Berlin the doors open at 9.", passage, heading="Paris").verified


def test_a_word_that_stands_once_carries_one_word() -> None:
    passage = "He was the first to fly in space, and landed on the last mission."
    assert not verify("He was the last to fly in space, and landed on the last mission.", passage).verified


def test_a_claim_of_two_sentences_takes_nothing_from_one_to_the_other() -> None:
    passage = "In 1862 the family moved to Gospić. In 1861 Nikola attended the primary school."
    assert verify("In 1861 Nikola attended the school.", passage).verified
    assert not verify("In 1862, Nikola attended the school.", passage).verified


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1,200", "1200"), ("12%", "12 per cent"), ("twenty-seven", "27"), ("3 March 2020", "March 3, 2020"),
        ("2020-03-03", "3rd of March 2020"), ("$5 million", "5,000,000 dollars"), ("1st", "first"), ("3.50", "3.5"),
    ],
)  # fmt: skip
def test_numbers_and_dates_are_compared_as_values(one: str, other: str) -> None:
    assert [term.key for term in terms(one)] == [term.key for term in terms(other)]


@pytest.mark.parametrize(
    ("passage", "true", "false"),
    [
        ("Die Pumpe ist nicht für 40 bar zugelassen.", "Die Pumpe ist nicht zugelassen", "Die Pumpe ist zugelassen"),
        ("La société a acheté 3 navires en 1998.", "La société a acheté 3 navires", "La société a acheté 5 navires"),
        ("Ο Νίκος δεν πήγε στην Αθήνα το 1998.", "Ο Νίκος δεν πήγε στην Αθήνα", "Ο Νίκος πήγε στην Αθήνα"),
        ("東京は日本の首都ではない。大阪は大きい。", "大阪は大きい", "東京は日本の首都だ"),
        ("扉は9時に開く。", "扉は9時に開く", "扉は8時に開く"),
    ],
)
def test_other_languages(passage: str, true: str, false: str) -> None:
    assert verify(true, passage).verified
    assert not verify(false, passage).verified


@pytest.mark.parametrize(
    ("claim", "verified"),
    [
        ("The lighthouse was built in 1862 by Thomas Leask.", True),
        ("In 1862, Thomas Leask built the lighthouse.", True),
        ("The engineer Thomas Leask built the lighthouse on Skerry Point in 1862.", True),
        ("The lighthouse built Thomas Leask.", False),
        ("Thomas Leask was built by the lighthouse.", False),
        ("The lighthouse built the engineer Thomas Leask in 1862.", False),
        ("The engineer was built by Thomas Leask.", False),
    ],
)
def test_who_did_it_to_whom_stays_where_the_voice_changes(claim: str, verified: bool) -> None:
    quote = "The lighthouse on Skerry Point was built in 1862 by the engineer Thomas Leask."
    assert verify(claim, quote).verified == verified, verify(claim, quote).why


def test_a_heading_stands_in_for_a_name_and_makes_no_claim() -> None:
    quote = "It stays because it is small, and because a machine with one card then needs one command."
    assert not verify("Ragline needs a GPU.", quote, "Ragline > Two generators for a GPU").verified
    assert (
        verify("Ragline needs one command on a machine with one card.", quote, "Ragline > Generators").support
        != "contradicted"
    )
    assert verify("The canteen opens at 9.", "It opens at 9.", "Canteen").verified
