"""From stored votes to the rows of a paired comparison: in order, each person once a pair, both versions on each."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plurality.core.pairs import ResponsePair, prompt_key
from service.domain import Prompt
from service.feedback.records import Judged, Prediction

Array = NDArray[np.float64]
PairKey = tuple[Prompt, str, str]
"""A pair whichever way round it was shown: prompt, and the responses in alphabetical order."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Votes that both versions predicted, in order of (created, id). Lengths and shapes [N]."""

    pairs: list[PairKey]
    share: Array
    """How far the pair's first response is preferred."""
    control: Array
    """P(first preferred) by the control."""
    treatment: Array

    @property
    def prompts(self) -> list[str]:
        """The key of each vote's prompt: votes with equal keys are not independent."""
        keys = {prompt: prompt_key(prompt) for prompt, _, _ in self.pairs}
        return [keys[prompt] for prompt, _, _ in self.pairs]


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts of the votes, pairs, prompts and voters behind a report, and of those left out."""

    votes: int
    """Counted: predicted by both versions."""
    decided: int
    """Of these, for one of the two responses."""
    pairs: int
    shared_pairs: int
    """Pairs with votes of two or more people."""
    prompts: int
    voters: int
    effective_voters: float
    """1 / Σ share²: how many equally busy people would be as spread out. Far below `voters`: a few decide."""
    largest_voter_share: float
    """Share of the votes by the person who voted most."""
    repeated: int
    """Left out: a person's later votes on a pair."""
    without_control: int
    """Left out: no prediction of the control."""
    without_treatment: int
    """Left out: no prediction of the treatment."""
    invalid: int
    """Left out: a share, reward or probability that is no finite number in its range."""


def paired_rows(judged: Sequence[Judged], *, control: str, treatment: str) -> tuple[Rows, Counts]:
    """The rows that can be compared, and how many could not.

    A person's first vote on a pair counts: an opinion sent again, or changed on seeing more, is no new one.
    """
    first = _first_votes(judged)
    lacking = {digest: sum(digest not in row.predictions for row in first) for digest in (control, treatment)}
    predicted = [row for row in first if control in row.predictions and treatment in row.predictions]
    usable = [row for row in predicted if _valid(row, control, treatment)]
    rows = _rows(usable, control, treatment)
    people = np.array(list(Counter(row.vote.voter for row in usable).values()), dtype=np.float64)
    spread = people / people.sum() if len(people) else people
    pairs = Counter(rows.pairs)
    counts = Counts(
        votes=len(usable),
        decided=int((rows.share != 0.5).sum()),
        pairs=len(pairs),
        shared_pairs=sum(votes > 1 for votes in pairs.values()),
        prompts=len(set(rows.prompts)),
        voters=len(people),
        effective_voters=float(1 / (spread**2).sum()) if len(people) else 0.0,
        largest_voter_share=float(spread.max(initial=0.0)),
        repeated=len(judged) - len(first),
        without_control=lacking[control],
        without_treatment=lacking[treatment],
        invalid=len(predicted) - len(usable),
    )
    return rows, counts


def by_pair(rows: Rows) -> Rows:
    """One row a pair that two or more people judged: the share of their votes, and each version's mean probability."""
    members: dict[PairKey, list[int]] = {}
    for index, pair in enumerate(rows.pairs):
        members.setdefault(pair, []).append(index)
    shared = {pair: found for pair, found in members.items() if len(found) > 1}
    share, control, treatment = (
        np.array([values[found].mean() for found in shared.values()], dtype=np.float64)
        for values in (rows.share, rows.control, rows.treatment)
    )
    return Rows(list(shared), share, control, treatment)


def _first_votes(judged: Sequence[Judged]) -> list[Judged]:
    seen: set[tuple[PairKey, str]] = set()
    first: list[Judged] = []
    for row in sorted(judged, key=lambda row: (row.vote.created, row.vote.id)):
        key = (_key(row.vote.pair), row.vote.voter)
        if key not in seen:
            seen.add(key)
            first.append(row)
    return first


def _key(pair: ResponsePair) -> PairKey:
    low, high = sorted((pair.response_a, pair.response_b))
    return pair.prompt, low, high


def _valid(row: Judged, control: str, treatment: str) -> bool:
    return 0 <= row.vote.share_a <= 1 and all(_sound(row.predictions[digest]) for digest in (control, treatment))


def _sound(prediction: Prediction) -> bool:
    rewards = math.isfinite(prediction.reward_a) and math.isfinite(prediction.reward_b)
    return rewards and 0 <= prediction.probability <= 1


def _rows(judged: Sequence[Judged], control: str, treatment: str) -> Rows:
    pairs = [_key(row.vote.pair) for row in judged]
    turned = np.array(
        [row.vote.pair.response_a != pair[1] for row, pair in zip(judged, pairs, strict=True)], dtype=bool
    )
    columns = np.array(
        [
            (row.vote.share_a, row.predictions[control].probability, row.predictions[treatment].probability)
            for row in judged
        ],
        dtype=np.float64,
    ).reshape(-1, 3)
    share, first, second = np.where(turned[:, None], 1 - columns, columns).T
    return Rows(pairs, share, first, second)
