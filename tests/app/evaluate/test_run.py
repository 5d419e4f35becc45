"""Which questions are asked in which ways, what they become, and what a second run knows of the first."""

from dataclasses import replace

from app.evaluate.datasets import Case
from app.evaluate.run import Record, Records, limited, plan, with_typos

TURN = ({"role": "user", "content": "Bees?"},)


def case(number, *, answerable=True, history=(), rewrite=""):
    relevant = {"d": 1.0} if answerable else {}
    return Case(str(number), "How many queens has a hive?", history, relevant, (), answerable, rewrite)


def ways(cases, *stages):
    planned = plan(cases, stages)
    return {way: sum(each == way for _, each in planned) for _, way in planned}


def test_each_stage_has_its_ways_of_asking():
    cases = [case(1, history=TURN, rewrite="Queens?"), case(2, history=TURN), *map(case, range(3, 203))]
    assert ways(cases, "retrieval", "cost") == {"asked": 202}
    assert ways(cases, "conversation") == {"asked": 202, "last turn": 2, "rewrite": 1}
    assert ways(cases, "abstention", "robustness") == {"asked": 202, "hidden": 50, "typos": 30, "injected": 30}
    assert ways([*cases, case(300, answerable=False)], "abstention") == {"asked": 203}


def test_a_limit_takes_the_same_sample_in_the_set_s_order():
    cases = [case(i) for i in range(100)]
    chosen = [each.id for each in limited(cases, 10)]
    assert chosen == [each.id for each in limited(cases, 10)]
    assert len(chosen) == 10
    assert chosen != [str(i) for i in range(10)]
    assert chosen == sorted(chosen, key=int)
    assert {*chosen} < {each.id for each in limited(cases, 11)}
    assert limited(cases, None) == limited(cases, 500) == cases


def test_typos_exchange_letters_of_long_words():
    asked = case(1)
    typed = with_typos(asked)
    assert typed == with_typos(asked)
    assert typed != asked.question
    assert [sorted(word) for word in typed.split()] == [sorted(word) for word in asked.question.split()]
    assert with_typos(replace(asked, question="So it is")) == "So it is"


def record(key, **fields):
    return Record(
        key,
        "asked",
        "Why?",
        {"dense": [("d", 0.5)]},
        [("d", 0.5)],
        {"total": 1.0},
        fields.pop("degraded", []),
        **fields,
    )


def test_a_later_run_goes_on_where_the_first_was_killed(tmp_path):
    first = Records(tmp_path, {"cases": 1})
    first.add(record("1", answer="Ünïcode"))
    first.add(record("2", degraded=["rerank"]))
    first.add(record("3", error="the collection is gone"))
    (file,) = tmp_path.iterdir()
    with file.open("a") as half:
        half.write('\n{"id": "4", "way": "as')
    second = Records(tmp_path, {"cases": 1})
    assert list(second.done) == [("1", "asked")]  # what failed is asked again
    assert second.done["1", "asked"].answer == "Ünïcode"
    second.add(record("4"))
    assert list(Records(tmp_path, {"cases": 1}).done) == [("1", "asked"), ("4", "asked")]
    assert not Records(tmp_path, {"cases": 2}).done
    second.finish()
    assert not Records(tmp_path, {"cases": 1}).done
