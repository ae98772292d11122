"""Votes of simulated people, beside what two versions predicted."""

from collections.abc import Sequence

import numpy as np

from plurality.core.pairs import ResponsePair
from service.feedback.records import Judged, Prediction, Vote

OLD, NEW = "a" * 64, "b" * 64


def prediction(probability: float) -> Prediction:
    """A version's word, with rewards that mean nothing here."""
    return Prediction(0.5, -0.5, probability)


def judged(
    number: int,
    *,
    share: float = 1.0,
    old: float | None = 0.5,
    new: float | None = 0.5,
    prompt: str | None = None,
    voter: str | None = None,
    responses: tuple[str, str] = ("one", "two"),
) -> Judged:
    """The vote of this number in time, by default of a person and on a prompt of its own."""
    pair = ResponsePair(f"prompt {number}" if prompt is None else prompt, *responses)
    vote = Vote(f"vote {number}", pair, share, f"voter {number}" if voter is None else voter, "mine", float(number))
    said = {OLD: old, NEW: new}
    return Judged(vote, {digest: prediction(p) for digest, p in said.items() if p is not None})


def population(prompts: int, *, each: int = 1, old: float, new: float, seed: int = 0) -> list[Judged]:
    """Votes by p*; each version sees log-odds of p* with noise of this size, the two versions' noise independent."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(prompts, 1)) * 1.5
    seen = truth + rng.normal(size=(prompts, 2)) * np.array([old, new])
    rows: list[Judged] = []
    for number in range(prompts):
        p_true, p_old, p_new = _sigmoid(np.array([truth[number, 0], *seen[number]]))
        for _ in range(each):
            rows.append(
                judged(
                    len(rows),
                    share=float(rng.random() < p_true),
                    old=p_old,
                    new=p_new,
                    prompt=f"prompt {number}",
                    responses=(f"one {number}", f"two {number}"),
                )
            )
    return rows


def _sigmoid(x: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Sequence[float]:
    found: list[float] = (1 / (1 + np.exp(-x))).tolist()
    return found
