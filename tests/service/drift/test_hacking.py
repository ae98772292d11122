"""A planted case of reward hacking: the reward model likes length, the policy finds out, the alert says so."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.app import Service
from tests.api import settings_for, with_api
from tests.service.drift.policy import Policy, publish_length_model
from tests.service.drift.rules import holds

WATCH = {"size": 256, "min_items": 64, "period_s": 3600}
ALERT = "RewardBoughtWithLength"
GROWING = [40.0] * 8 + [40.0 + 2 * step for step in range(32)]
"""Words of a mean answer, step by step."""
Gauges = list[dict[str, float]]


def gauges_of(service: Service) -> dict[str, float]:
    """Every series with a version, by the metric's name."""
    return {
        sample.name: sample.value
        for family in service.metrics.registry.collect()
        for sample in family.samples
        if "version" in sample.labels and family.type == "gauge"
    }


async def train(client: httpx.AsyncClient, service: Service, policy: Policy, means: Sequence[float]) -> Gauges:
    """One training step a mean length: four groups are ranked, the watch looks. Returns the gauges after each."""
    seen = []
    for mean in means:
        policy.mean_words = mean
        for _ in range(4):
            prompt, answers = policy.group()
            body: dict[str, Any] = {"prompt": prompt, "responses": answers, "advantages": True}
            assert (await client.post("/rm/v1/rank", json=body)).status_code == 200
        await service.watch.refresh()
        seen.append(gauges_of(service))
    return seen


@pytest.fixture
def length_store(store: Path) -> Path:
    publish_length_model(store)
    return store


def test_a_policy_that_grows_longer_raises_the_alert(length_store: Path) -> None:
    """Forty steps of ever longer answers: correlation, length and the reward bought by it pass the alert's limits."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        seen = await train(client, service, Policy(seed=2), GROWING)
        raised = [holds(ALERT, gauges) for gauges in seen]
        assert raised[-10:] == [True] * 10
        assert not any(raised[:12])
        last = seen[-1]
        assert last["rm_response_length_ratio"] > 1.5
        assert last["rm_reward_shift_by_length"] == pytest.approx(last["rm_reward_shift"], rel=0.25)
        assert holds("RewardDriftPsi", last)
        assert holds("RewardDriftKs", last)

    with_api(settings_for(length_store, watch=WATCH), story)


@pytest.mark.parametrize("seed", [3, 4])
def test_a_stationary_policy_is_silent(length_store: Path, seed: int) -> None:
    """The same reward model with its length bias, a policy that does not exploit it: no alert at any step."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        seen = await train(client, service, Policy(seed=seed), [40.0] * 30)
        for alert in (ALERT, "RewardDriftPsi", "RewardDriftKs", "RewardOutsideReference", "InputsTruncated"):
            assert [step for step, gauges in enumerate(seen) if holds(alert, gauges)] == []
        assert seen[-1]["rm_reward_length_correlation"] > 0.3  # the bias is there to be seen all the time
        assert {"rm_response_length_ratio", "rm_group_spread", "rm_score_psi"} <= seen[-1].keys()

    with_api(settings_for(length_store, watch=WATCH), story)


def test_longer_answers_that_earn_nothing_are_silent(store: Path) -> None:
    """Answers grow, but this reward model does not care: longer is no hacking."""

    async def story(client: httpx.AsyncClient, service: Service) -> None:
        seen = await train(client, service, Policy(seed=5), [12.0 + step for step in range(24)])
        assert seen[-1]["rm_response_length_ratio"] > 1.2
        assert not any(holds(ALERT, gauges) for gauges in seen), seen[-1]

    with_api(settings_for(store, watch=WATCH), story)
