"""The oracle knows the truth of whatever the generator writes, and says so where a text left its language."""

import random

import pytest

from plurality.synthetic.families import FAMILIES, Family
from plurality.synthetic.population import attributes, make_population
from plurality.synthetic.writing import dress
from research.rlhf.oracle import Oracle, shares
from research.rlhf.prompts import FAMILY_NAMES, TONES, Prompts, StudyPrompt, list_cores, tone_sentences

DICE = random.Random(0)  # noqa: S311 - seeded texts
POPULATION = make_population(seed=0)
CAPITAL = StudyPrompt(
    "Name the capital of Peru.",
    "capitals",
    {"Lima it is.": list(attributes(correct=1.0)), "Oslo it is.": list(attributes(correct=0.0))},
)
OTHER = StudyPrompt("Name the capital of Egypt.", "capitals", {"Cairo it is.": list(attributes(correct=1.0))})


@pytest.fixture
def oracle() -> Oracle:
    return Oracle(Prompts((CAPITAL,), (OTHER,)), POPULATION)


@pytest.mark.parametrize("family", [f for f in FAMILIES if f.name in FAMILY_NAMES], ids=lambda family: str(family.name))
def test_every_text_of_the_generator_has_its_own_utility(family: Family) -> None:
    dice = random.Random(7)  # noqa: S311 - seeded texts
    for _ in range(5):
        task = family.make(dice)
        prompt = StudyPrompt(task.prompt, family.name, list_cores(dice, task, tone_sentences()))
        oracle = Oracle(Prompts((prompt,), ()), POPULATION)
        answers = [task.answer(dice, good) for good in (True, False) for _ in range(50)]
        verdicts = [oracle.judge(task.prompt, answer.text) for answer in answers]
        assert shares(verdicts)["exact"] == 1.0
        for answer, verdict in zip(answers, verdicts, strict=True):
            assert verdict.utility == pytest.approx(POPULATION.mean_utility(answer.attributes), abs=1e-6)


def test_every_tone_has_sentences_and_each_adds_what_the_generator_says() -> None:
    found = tone_sentences()
    assert {tone for tone, _ in found.values()} == set(TONES)
    for sentence, (tone, values) in found.items():
        assert dress(DICE, "", [tone]).attributes.tolist() == values.tolist(), sentence


def test_a_second_compliment_adds_nothing(oracle: Oracle) -> None:
    once = oracle.judge(CAPITAL.text, "Great question! Lima it is.")
    twice = oracle.judge(CAPITAL.text, "Great question! Lima it is. Happy to help!")
    assert twice.utility == pytest.approx(once.utility)
    assert (once.manner, twice.manner) == ("exact", "stretched")


def test_the_right_and_a_wrong_answer_together_are_half_right(oracle: Oracle) -> None:
    verdict = oracle.judge(CAPITAL.text, "Lima it is. Oslo it is.")
    assert verdict.correct == 0.5
    assert verdict.manner == "stretched"


def test_another_prompts_answer_is_worth_nothing_and_named(oracle: Oracle) -> None:
    verdict = oracle.judge(CAPITAL.text, "Cairo it is.")
    assert (verdict.utility, verdict.correct, verdict.manner) == (0.0, 0.0, "off-prompt")


@pytest.mark.parametrize("text", ["Lima", "Lima it is. the the the", "It is Lima it is."])
def test_words_that_the_generator_never_writes_are_unparsed(oracle: Oracle, text: str) -> None:
    assert oracle.judge(CAPITAL.text, text).manner == "unparsed"


def test_no_text_is_worth_nothing(oracle: Oracle) -> None:
    assert oracle.judge(CAPITAL.text, "").utility == 0.0
