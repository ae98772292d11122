"""What is sent for a pair, and the key under which its answer is kept. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from plurality.core.judge_record import Order
from plurality.core.rows import PreferenceRow
from plurality.training.judge.prompt import ANSWER_START, judge_prompt
from plurality.training.judge.sample import request_seed
from plurality.training.judge.settings import JudgeSettings, digest_of

_KEY_VERSION = 1


@dataclass(frozen=True, slots=True)
class Request:
    """One request to the endpoint."""

    body: dict[str, Any]
    key: str
    """sha256 of the body (model, prompt and settings) and of the draw; neither address nor key of the endpoint."""
    characters: int
    answers: int
    """How many are asked for."""
    answer_tokens: int
    """At most, together."""


def order_texts(settings: JudgeSettings, row: PreferenceRow) -> Iterator[tuple[Order, str, int]]:
    """Every order of a row with its prompt and the number of answers; one after the other shares the prompt's start."""
    for order, count in settings.draws().items():
        if count:
            shown = (row.response_a, row.response_b) if order == "ab" else (row.response_b, row.response_a)
            yield order, judge_prompt(row.context, *shown), count


def next_request(settings: JudgeSettings, text: str, *, have: int, want: int) -> Request:
    """The request for the answers that are still missing."""
    if settings.mode == "logprob":
        return _request(settings, _logprob_body(settings, text), text, draw=0, count=1)
    count = min(want - have, settings.choices_per_request or want)
    body: dict[str, Any] = {
        "messages": [{"role": "user", "content": text}],
        "n": count,
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "max_tokens": settings.max_tokens,
    }
    if settings.seed is not None:
        body["seed"] = request_seed(settings.seed, text, have)
    return _request(settings, body, text, draw=have, count=count)


def _logprob_body(settings: JudgeSettings, text: str) -> dict[str, Any]:
    # Temperature 1 and top-p 1: where a server's log probabilities are taken after its sampler, they are untouched.
    body: dict[str, Any] = {
        "messages": [{"role": "user", "content": text}],
        "logprobs": True,
        "top_logprobs": settings.top_logprobs,
        "temperature": 1.0,
        "top_p": 1.0,
        "n": 1,
    }
    if settings.label == "generate":
        return body | {"max_tokens": settings.max_tokens}
    body["messages"].append({"role": "assistant", "content": ANSWER_START})
    return body | {"max_tokens": 1, "add_generation_prompt": False, "continue_final_message": True}


def _request(settings: JudgeSettings, body: dict[str, Any], text: str, *, draw: int, count: int) -> Request:
    whole = {"model": settings.model} | body | settings.extra
    whole = {name: value for name, value in whole.items() if value is not None}
    key = digest_of({"version": _KEY_VERSION, "body": whole, "draw": draw})
    one_token = settings.mode == "logprob" and settings.label == "prefill"
    tokens = count * (1 if one_token else settings.max_tokens)
    return Request(whole, key, len(text), count, tokens)
