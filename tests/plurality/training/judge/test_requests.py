"""What is sent, and what makes it the same question again."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from plurality.training.judge.requests import next_request, order_texts
from plurality.training.judge.settings import JudgeSettings
from tests.plurality.training.data import row

TEXT = "which one?"


def settings(**changes: Any) -> JudgeSettings:
    return JudgeSettings.model_validate({"model": "m"} | changes)


def test_logprob_bodies() -> None:
    """One token after 'Choice:', or a short answer; the sampler is told to leave the probabilities alone."""
    prefilled = next_request(settings(), TEXT, have=0, want=1)
    assert prefilled.body == {
        "model": "m", "n": 1, "logprobs": True, "top_logprobs": 20, "temperature": 1.0, "top_p": 1.0, "max_tokens": 1,
        "messages": [{"role": "user", "content": TEXT}, {"role": "assistant", "content": "Choice:"}],
        "add_generation_prompt": False, "continue_final_message": True,
    }  # fmt: skip
    assert prefilled.answer_tokens == 1
    generated = next_request(settings(label="generate", max_tokens=9), TEXT, have=0, want=1)
    assert generated.body["messages"] == [{"role": "user", "content": TEXT}]
    assert "continue_final_message" not in generated.body
    assert generated.answer_tokens == generated.body["max_tokens"] == 9


def test_sample_bodies() -> None:
    """The paper's n and top-p; temperature is always sent; the rest of the answers is asked for as another draw."""
    first = next_request(settings(mode="sample", seed=3), TEXT, have=0, want=5)
    assert {name: first.body[name] for name in ("n", "temperature", "top_p", "max_tokens")} == {
        "n": 5, "temperature": 1.0, "top_p": 0.9, "max_tokens": 16,
    }  # fmt: skip
    rest = next_request(settings(mode="sample", seed=3), TEXT, have=2, want=5)
    assert rest.body["n"] == 3
    assert rest.body["seed"] != first.body["seed"]
    unseeded = [next_request(settings(mode="sample", choices_per_request=1), TEXT, have=k, want=3) for k in range(3)]
    assert all(request.body == unseeded[0].body and request.answers == 1 for request in unseeded)
    assert len({request.key for request in unseeded}) == 3


def test_orders_of_a_row() -> None:
    """The first order shows a as answer A, the second b."""
    pair = row(response_a="one", response_b="two")
    [(_, ab, _), (_, ba, _)] = order_texts(settings(), pair)
    assert "Answer A: one\nAnswer B: two" in ab
    assert "Answer A: two\nAnswer B: one" in ba
    assert [order for order, _, _ in order_texts(settings(mode="sample", orders="paper"), pair)] == ["ab"]
    assert [count for _, _, count in order_texts(settings(mode="sample", n=1), pair)] == [1]


def test_extra_fields() -> None:
    """Added to the body, null takes one out, and those with an option of their own are refused."""
    extra = {"max_tokens": None, "max_completion_tokens": 7}
    request = next_request(settings(mode="sample", extra=extra), TEXT, have=0, want=1)
    assert "max_tokens" not in request.body
    assert request.body["max_completion_tokens"] == 7
    with pytest.raises(ValidationError, match="model, n"):
        settings(extra={"n": 1, "model": "x"})


@given(st.sampled_from(["model", "temperature", "top_p", "max_tokens", "extra", "seed", "mode"]), st.text())
def test_the_key_is_of_content_and_settings(name: str, text: str) -> None:
    """The same question has the same key; another model, text or setting another one."""
    base = {"mode": "sample"}
    other = {
        "model": "o",
        "temperature": 0.5,
        "top_p": 0.5,
        "max_tokens": 3,
        "extra": {"x": 1},
        "seed": 1,
        "mode": "logprob",
    }
    key = next_request(settings(**base), text, have=0, want=5).key
    assert key == next_request(settings(**base), text, have=0, want=5).key
    assert key != next_request(settings(**base | {name: other[name]}), text, have=0, want=5).key
    assert key != next_request(settings(**base), text + "x", have=0, want=5).key


def test_the_digest_is_of_what_the_mode_reads() -> None:
    """Settings of the other mode do not make other judgements."""
    assert settings().digest == settings(n=4, temperature=0.1).digest != settings(min_covered=0.4).digest
    assert settings(mode="sample").digest == settings(mode="sample", min_covered=0.4).digest
    assert settings(mode="sample").digest != settings(mode="sample", orders="paper").digest
