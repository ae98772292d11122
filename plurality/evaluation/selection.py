"""Best of n: what the answer that a model picks is worth, where prompts have more than two answers."""

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np

from plurality.evaluation.predict import Predictions
from plurality.evaluation.sample import Sample
from plurality.stats import best_of_n

_LEAST = 3


@dataclass(frozen=True, slots=True)
class BestOfN:
    """One point of the curve. Worth of an answer: the mean share that prefers it in the pairs where it stands."""

    n: int
    prompts: int
    """With at least n answers; the three means are over them."""
    chosen: float
    """The model's choice of n."""
    random: float
    """Any answer."""
    best: float
    """The best of n by worth itself: no model can do better."""


def best_of_n_curve(sample: Sample, predictions: Predictions) -> list[BestOfN]:
    """The curve over all prompts with three answers or more; empty where there is none.

    The share is p* where it is known, else the label. An answer's rivals are those of its pairs: where not all answers
    of a prompt were compared, its worth depends on whom it met.
    """
    groups = [_curves(answers) for answers in _answers(sample, predictions).values() if len(answers) >= _LEAST]
    most = max((len(chosen) for chosen, _ in groups), default=0)
    points = []
    for n in range(1, most + 1):
        large = [(chosen, best) for chosen, best in groups if len(chosen) >= n]
        points.append(
            BestOfN(
                n=n,
                prompts=len(large),
                chosen=float(np.mean([chosen[n - 1] for chosen, _ in large])),
                random=float(np.mean([chosen[0] for chosen, _ in large])),
                best=float(np.mean([best[n - 1] for _, best in large])),
            )
        )
    return points


@dataclass(slots=True)
class _Seen:
    """An answer over all pairs in which it stands."""

    reward: float
    shares: list[float]


def _answers(sample: Sample, predictions: Predictions) -> dict[Hashable, dict[str, _Seen]]:
    share_a = np.where(sample.known, sample.people, sample.label)
    found: dict[Hashable, dict[str, _Seen]] = {}
    for row, prompt, share, rewards in zip(sample.rows, sample.prompts, share_a, predictions.rewards, strict=True):
        answers = found.setdefault(prompt, {})
        for text, reward, won in ((row.response_a, rewards[0], share), (row.response_b, rewards[1], 1 - share)):
            answers.setdefault(text, _Seen(float(reward), [])).shares.append(float(won))
    return found


def _curves(answers: dict[str, _Seen]) -> tuple[list[float], list[float]]:
    """By the model's rewards, and by worth."""
    reward = [seen.reward for seen in answers.values()]
    worth = [float(np.mean(seen.shares)) for seen in answers.values()]
    return best_of_n(reward, worth).tolist(), best_of_n(worth, worth).tolist()
