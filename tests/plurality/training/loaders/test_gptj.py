"""GPT-J pairs: the prompt is there, and chosen does not always stand at a."""

from plurality.training.loaders import gptj
from tests.plurality.training.loaders.pairs import outcomes


def test_prompt_is_there() -> None:
    """Prompt and answers are apart, not the answers alone."""
    loaded = gptj.rows([{"prompt": "Name a bird. ", "chosen": "A wren.", "rejected": "Bird bird."}])
    assert loaded.rows[0].prompt == "Name a bird."
    assert outcomes(loaded) == [(frozenset(("A wren.", "Bird bird.")), "A wren.")]


def test_equal_answers_are_dropped() -> None:
    """An instruct model that says what GPT-J says teaches nothing."""
    assert gptj.rows([{"prompt": "p", "chosen": "x", "rejected": "x"}]).dropped == {"both answers are the same": 1}
