"""What is said before the start is what is then asked."""

from pathlib import Path
from typing import Any

import pytest

from plurality.training.judge.cache import Cache
from plurality.training.judge.estimate import Estimate, Prices, estimate
from plurality.training.judge.requests import order_texts
from plurality.training.judge.settings import JudgeSettings
from tests.plurality.training.judge.asking import MODEL, judge
from tests.plurality.training.judge.conftest import Server
from tests.plurality.training.judge.test_run import ROWS


def planned(cache: Path, rows: Any = ROWS, prices: Prices | None = None, **settings: Any) -> Estimate:
    with Cache(cache) as kept:
        return estimate(rows, JudgeSettings.model_validate({"model": MODEL} | settings), kept, prices or Prices())


def test_by_the_rule_of_thumb(tmp_path: Path) -> None:
    """Four characters a token where nothing is known; a price only where one is given."""
    found = planned(tmp_path / "cache.jsonl", prices=Prices(2.0, 10.0))
    characters = sum(len(text) for pair in ROWS for _, text, _ in order_texts(JudgeSettings(model="m"), pair))
    assert (found.requests, found.cached, found.pairs) == (16, 0, 8)
    assert found.prompt_tokens == pytest.approx(characters / 4, abs=1)
    assert found.answer_tokens == 16
    assert found.cost == pytest.approx((2.0 * found.prompt_tokens + 10.0 * 16) / 1e6)
    assert planned(tmp_path / "cache.jsonl").cost is None
    assert "4 characters" in " ".join(found.lines())
    sampled = planned(tmp_path / "cache.jsonl", mode="sample", choices_per_request=2, max_tokens=4)
    assert (sampled.requests, sampled.answer_tokens) == (8 * 2 * 3, 8 * 10 * 4)


def test_the_estimate_is_what_is_asked(server: Server, tmp_path: Path) -> None:
    """What is cached is not asked; then tokens are those that the endpoint counts."""
    cache = tmp_path / "cache.jsonl"
    judge(server, ROWS[:3], cache)
    before = planned(cache)
    assert (before.requests, before.cached, before.measured) == (10, 6, True)
    assert planned(cache, [ROWS[5], ROWS[5]]).requests == 2
    _, spent = judge(server, ROWS, cache)
    assert spent.requests == before.requests
    assert spent.prompt_tokens == pytest.approx(before.prompt_tokens, rel=0.2)
    assert spent.answer_tokens == before.answer_tokens
    assert planned(cache).requests == 0
