"""The judge against a real server of a real (tiny) model: exactly what the model itself says."""

import math
from pathlib import Path
from typing import Any

import pytest

from plurality.core.judge_record import JudgeRecord
from plurality.core.rows import PreferenceRow
from plurality.training.judge.cache import Cache
from plurality.training.judge.errors import BadReply, TooManyFailures
from plurality.training.judge.prompt import judge_prompt, parse_choice
from plurality.training.judge.requests import next_request
from plurality.training.judge.run import Outcome
from plurality.training.judge.sample import request_seed
from plurality.training.judge.settings import JudgeSettings
from tests.plurality.training.data import planted, row
from tests.plurality.training.judge.asking import MODEL, judge
from tests.plurality.training.judge.conftest import Server
from tests.plurality.training.judge.lm import LABELS, JudgeModel

COUNT = 8
ROWS = [PreferenceRow.model_validate(raw) for raw in planted(COUNT)]


def shown(pair: PreferenceRow) -> tuple[str, str]:
    return (
        judge_prompt(pair.context, pair.response_a, pair.response_b),
        judge_prompt(pair.context, pair.response_b, pair.response_a),
    )


def label_probabilities(model: JudgeModel, text: str) -> tuple[float, float]:
    """P(A) and P(B) after 'Choice:', straight from the logits."""
    messages = [{"role": "user", "content": text}, {"role": "assistant", "content": "Choice:"}]
    probabilities_V = model.next_logits(model.encode(messages, continue_final=True)).softmax(-1)
    ids = {label: model.tokenizer.convert_tokens_to_ids(label) for label in LABELS}
    a, b = (sum(probabilities_V[ids[label]].item() for label in (f" {name}", name)) for name in "AB")
    return a, b


def records(outcomes: list[Outcome]) -> list[JudgeRecord]:
    found = [it for it in outcomes if isinstance(it, JudgeRecord)]
    assert len(found) == len(outcomes)
    return found


def test_logprob_is_the_models_own(server: Server, judge_model: JudgeModel, tmp_path: Path) -> None:
    """q = σ(½[logit P(A|a,b) + logit P(B|b,a)]) of the model's logits, to 1e-6; both orders' logits and mass too."""
    outcomes, spent = judge(server, ROWS, tmp_path / "cache.jsonl")
    assert (spent.requests, spent.cached, spent.served) == (2 * COUNT, 0, {"tiny-judge"})
    for pair, record in zip(ROWS, records(outcomes), strict=True):
        ab, ba = (label_probabilities(judge_model, text) for text in shown(pair))
        q = 1 / (1 + math.exp(-0.5 * (math.log(ab[0] / ab[1]) + math.log(ba[1] / ba[0]))))
        assert record.q == pytest.approx(q, abs=1e-6)
        assert [order.logit for order in record.orders] == pytest.approx(
            [math.log(ab[0] / ab[1]), math.log(ba[1] / ba[0])], abs=1e-6
        )
        assert [order.covered for order in record.orders] == pytest.approx([sum(ab), sum(ba)], abs=1e-6)
        assert (record.n, record.parsed, record.unparsable) == (2, 2, 0)
        assert record.margin == pytest.approx(abs(2 * q - 1), abs=2e-6)
    assert len({record.q for record in records(outcomes)}) == COUNT


def test_a_generated_label_has_the_same_q(server: Server, tmp_path: Path) -> None:
    """Where the judge itself writes 'Choice:' and the label, q is that of the prefilled answer; else there is none,
    unless it wrote more than that before the label."""
    known = records(judge(server, ROWS, tmp_path / "cache.jsonl")[0])
    options: dict[str, Any] = {"label": "generate", "max_tokens": 3, "extra": {"seed": 1}}
    generated = records(judge(server, ROWS, tmp_path / "generated.jsonl", **options)[0])
    settings = JudgeSettings.model_validate({"model": MODEL} | options)
    plain = 0
    with Cache(tmp_path / "generated.jsonl") as cache:
        for pair, before, after in zip(ROWS, known, generated, strict=True):
            heard = [cache.get(next_request(settings, text, have=0, want=1).key) for text in shown(pair)]
            tokens = [[place.token for place in reply.answers[0].places[:2]] for reply in heard if reply]
            if all(said[0] == "Choice:" and said[1] in LABELS for said in tokens):
                plain += 1
                assert after.q == pytest.approx(before.q, abs=1e-6)
            assert (after.q is None) == bool(after.unparsable)
    assert plain


def test_samples_are_the_models_own(server: Server, judge_model: JudgeModel, tmp_path: Path) -> None:
    """Given the seed, 5 + 5 answers are exactly what the model samples here, unparsable ones included."""
    outcomes, spent = judge(server, ROWS, tmp_path / "cache.jsonl", mode="sample", seed=11, max_tokens=3)
    assert spent.requests == 2 * COUNT
    for pair, record in zip(ROWS, records(outcomes), strict=True):
        said: list[list[str | None]] = []
        for text in shown(pair):
            ids_1T = judge_model.encode([{"role": "user", "content": text}])
            made_NT, _ = judge_model.sample(
                ids_1T, n=5, temperature=1.0, top_p=0.9, max_tokens=3, seed=request_seed(11, text, 0)
            )
            said.append([parse_choice(judge_model.text(ids)) for ids in made_NT.tolist()])
        for order, first, labels in zip(record.orders, "AB", said, strict=True):
            second = "B" if first == "A" else "A"
            assert (order.a, order.b) == (labels.count(first), labels.count(second))
            assert order.unparsable == labels.count(None)
        readable = [[label for label in labels if label] for labels in said]
        shares = [part.count(first) / len(part) for part, first in zip(readable, "AB", strict=True) if part]
        assert record.q == (pytest.approx(sum(shares) / 2) if len(shares) == 2 else None)
        assert record.parsed + record.unparsable == record.n == 10
    assert any(record.unparsable for record in records(outcomes))
    assert any(record.parsed for record in records(outcomes))


def test_the_papers_orders(server: Server, tmp_path: Path) -> None:
    """One order, one request of n = 10, top-p 0.9, as in the paper."""
    outcomes, _ = judge(server, ROWS[:2], tmp_path / "cache.jsonl", mode="sample", orders="paper", max_tokens=3)
    assert [entry["body"]["n"] for entry in server.log()] == [10, 10]
    assert {entry["body"]["top_p"] for entry in server.log()} == {0.9}
    assert all(len(record.orders) == 1 for record in records(outcomes))


def test_an_endpoint_that_sends_fewer_is_asked_for_the_rest(server: Server, tmp_path: Path) -> None:
    """n = 10 in requests of at most 2: ten answers a pair, each under a key of its own; the cache knows them all."""
    options: dict[str, Any] = {"mode": "sample", "max_tokens": 3, "choices_per_request": 2, "orders": "paper"}
    outcomes, spent = judge(server, ROWS[:1], tmp_path / "cache.jsonl", **options)
    assert (records(outcomes)[0].n, spent.requests) == (10, 5)
    again, spent = judge(server, ROWS[:1], tmp_path / "cache.jsonl", **options)
    assert (again, spent.requests, spent.cached) == (outcomes, 0, 5)


def test_the_same_pair_is_asked_once(server: Server, tmp_path: Path) -> None:
    """Twice in a file, or mirrored: the same two questions."""
    first = ROWS[0]
    mirrored = first.model_copy(update={"response_a": first.response_b, "response_b": first.response_a})
    outcomes, spent = judge(server, [first, first, mirrored], tmp_path / "cache.jsonl", concurrency=3)
    assert (spent.requests, spent.cached) == (2, 4)
    q, same, turned = (record.q for record in records(outcomes))
    assert q == same
    assert turned == pytest.approx(1 - (q or 0), abs=1e-12)


def test_a_refusal_is_no_judgement(server: Server, tmp_path: Path) -> None:
    """Too little mass on the labels, or a label that is not listed: no q, no margin, counted."""
    outcomes, _ = judge(server, ROWS, tmp_path / "cache.jsonl", min_covered=1.0)
    for record in records(outcomes):
        assert (record.q, record.margin, record.unparsable, record.parsed) == (None, None, 2, 0)
        assert all(order.covered for order in record.orders)
    outcomes, _ = judge(server, ROWS, tmp_path / "cache.jsonl", top_logprobs=2, min_covered=0.0)
    assert any(record.q is None for record in records(outcomes))


@pytest.mark.parametrize(
    "edit",
    [
        {"choices": [{"message": {"content": " A"}}]},
        {"choices": [{"message": {"content": " A"}, "logprobs": {"content": []}}]},
        {"choices": [{"message": {"content": " A"}, "logprobs": {"content": [{"token": " A"}]}}]},
        {"choices": []},
        {"choices": [{"message": {"content": "x"}}] * 2},
        {"choices": "none"},
    ],
)
def test_missing_log_probabilities_are_errors(server: Server, tmp_path: Path, edit: dict[str, Any]) -> None:
    """A reply without what was asked for fails its pair; it is not cached, and the next run asks again."""
    server.faults({"edit": edit})
    outcomes, spent = judge(server, ROWS[:2], tmp_path / "cache.jsonl", concurrency=1, max_failures=1)
    assert isinstance(outcomes[0], BadReply)
    assert isinstance(outcomes[1], JudgeRecord)
    assert spent.requests == 2
    again, _ = judge(server, ROWS[:2], tmp_path / "cache.jsonl")
    assert records(again)[1] == outcomes[1]


@pytest.mark.parametrize("value", ["NaN", "-Infinity", "1e999", "null", "0.7"])
def test_non_finite_log_probabilities_are_errors(server: Server, tmp_path: Path, value: str) -> None:
    """What no log probability can be is refused as a whole, before it is cached."""
    listed = f'[{{"token": " A", "logprob": -0.5}}, {{"token": " B", "logprob": {value}}}]'
    content = f'[{{"token": " A", "logprob": -0.5, "top_logprobs": {listed}}}]'
    text = f'{{"choices": [{{"message": {{"content": " A"}}, "logprobs": {{"content": {content}}}}}]}}'
    server.faults({"status": 200, "text": text})
    with pytest.raises(TooManyFailures, match="1 pairs failed"):
        judge(server, ROWS[:1], tmp_path / "cache.jsonl")
    assert (tmp_path / "cache.jsonl").read_bytes() == b""


def test_an_empty_answer_is_unparsable(server: Server, tmp_path: Path) -> None:
    """No content (a refusal, a tool call) is an answer that says nothing."""
    server.faults({"edit": {"choices": [{"message": {"content": None}}] * 5}})
    outcomes, _ = judge(server, [row()], tmp_path / "cache.jsonl", mode="sample", max_tokens=3)
    assert (records(outcomes)[0].orders[0].unparsable, records(outcomes)[0].q) == (5, None)
