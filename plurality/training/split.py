"""Duplicates, leaks and the split by prompt. Everything that leaves is counted.

A pair's side of a split is a hash of its prompt, never its row or its place in the file: tail splits put the same
question on both sides. The same prompt stays on its side when rows are added or shuffled, and splitting a train part
again moves nothing. Rows of one group (debate, conversation) stay together as well.
"""

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from plurality.core.judge_record import JudgeRecord
from plurality.core.pairs import text_key
from plurality.core.rows import PreferenceRow, Turn, Votes
from plurality.training.errors import TrainingError

PARTS = ("train", "validation", "test")
Shares = tuple[float, float, float]
MERGED = "merged into the row of the same pair"


def turns(row: PreferenceRow) -> tuple[Turn, ...]:
    """The context as turns: a plain prompt is one message of the user."""
    return row.messages if row.messages is not None else (Turn(role="user", content=row.prompt or ""),)


@dataclass(frozen=True, slots=True)
class Deduplicated:
    """Rows without repeated pairs."""

    rows: list[PreferenceRow]
    merged: int
    """Rows that were merged into another one."""
    contradicted: int
    """Pairs whose rows preferred different answers."""


def deduplicate(rows: Iterable[PreferenceRow]) -> Deduplicated:
    """Merge rows with the same context and the same two answers, swapped or not.

    Their judgements are added up: votes as they are, a label of 0, 0.5 or 1 without votes as one vote. Where a label
    is a probability, labels are averaged instead. The row with the smallest id stands for all; of language models'
    judgements (`judge`) the first is kept, since one judge asked twice is no second judge.
    """
    pairs: dict[tuple[tuple[Turn, ...], frozenset[str]], list[PreferenceRow]] = defaultdict(list)
    total = 0
    for row in rows:
        total += 1
        pairs[turns(row), frozenset((row.response_a, row.response_b))].append(row)
    merged = [_merge(same) for same in pairs.values()]
    contradicted = sum(_contradict(same) for same in pairs.values())
    return Deduplicated(merged, total - len(merged), contradicted)


def _merge(same: list[PreferenceRow]) -> PreferenceRow:
    if len(same) == 1:
        return same[0]
    first, *_ = same = sorted(same, key=lambda row: row.id)
    aligned = [row if row.response_a == first.response_a else mirrored(row) for row in same]
    votes = [_as_votes(row) for row in aligned]
    known = [vote for vote in votes if vote is not None]
    changes: dict[str, object] = {"votes": None, "margin": _agreed([row.margin for row in aligned])}
    if len(known) == len(votes):
        total = Votes(a=sum(v.a for v in known), b=sum(v.b for v in known), tie=sum(v.tie for v in known))
        changes |= {"votes": total, "label": total.fraction_a}
    else:
        changes["label"] = math.fsum(row.preference for row in aligned) / len(aligned)
    changes["true_preference"] = _agreed([row.true_preference for row in aligned])
    changes["judge"] = next((row.judge for row in aligned if row.judge), None)
    return first.model_copy(update=changes)


def mirrored(row: PreferenceRow) -> PreferenceRow:
    """The same judgement with the answers exchanged."""
    votes, p = row.votes, row.true_preference
    return row.model_copy(
        update={
            "response_a": row.response_b,
            "response_b": row.response_a,
            "label": 1.0 - row.label,
            "votes": votes and Votes(a=votes.b, b=votes.a, tie=votes.tie),
            "true_preference": None if p is None else 1.0 - p,
            "judge": row.judge and _mirrored_judge(row.judge),
        }
    )


def _mirrored_judge(judge: JudgeRecord) -> JudgeRecord:
    orders = [
        order.model_copy(
            update={
                "order": "ba" if order.order == "ab" else "ab",
                "a": order.b,
                "b": order.a,
                "logit": None if order.logit is None else -order.logit,
            }
        )
        for order in judge.orders
    ]
    return judge.model_copy(update={"q": None if judge.q is None else 1.0 - judge.q, "orders": tuple(orders)})


def _as_votes(row: PreferenceRow) -> Votes | None:
    if row.votes is not None:
        return row.votes
    if row.label not in {0.0, 0.5, 1.0}:
        return None
    return Votes(a=int(row.label == 1), b=int(row.label == 0), tie=int(row.label == 0.5))


def _agreed(values: Sequence[float | None]) -> float | None:
    """The one value that all rows have; None where they differ."""
    return values[0] if len(set(values)) == 1 else None


def _contradict(same: list[PreferenceRow]) -> bool:
    first = same[0].response_a
    sides = [(row.preference - 0.5) * (1 if row.response_a == first else -1) for row in same]
    return min(sides) < 0 < max(sides)


def split(
    rows: Iterable[PreferenceRow], shares: Shares, *, seed: int = 0, groups: Mapping[str, str] | None = None
) -> dict[str, list[PreferenceRow]]:
    """Rows by part, in their order; `groups` maps row ids to what must stay together besides the prompt.

    Raises:
        TrainingError: shares that are no shares, or a part that is asked for and gets nothing.
    """
    if min(shares) < 0 or not math.isclose(sum(shares), 1.0, abs_tol=1e-6):
        raise TrainingError(f"shares must be three numbers >= 0 that sum to 1 (train, validation, test), not {shares}")
    rows = list(rows)
    unit = _units(rows, groups or {})
    parts: dict[str, list[PreferenceRow]] = {part: [] for part in PARTS}
    for row in rows:
        parts[_part(unit[row.prompt_key], shares, seed)].append(row)
    for part, share in zip(PARTS, shares, strict=True):
        if rows and share > 0 and not parts[part]:
            raise TrainingError(
                f"nothing fell to {part}: {len(set(unit.values()))} independent prompts or groups are too few for a "
                f"share of {share:g}; give larger shares or another seed"
            )
    return parts


def _part(key: str, shares: Shares, seed: int) -> str:
    place = int.from_bytes(hashlib.sha256(f"{seed}:{key}".encode()).digest()[:8], "big") / 2**64
    if place < shares[0]:
        return "train"
    return "validation" if place < shares[0] + shares[1] or shares[2] == 0 else "test"


def _units(rows: Sequence[PreferenceRow], groups: Mapping[str, str]) -> dict[str, str]:
    """Prompt key -> smallest key of all that it hangs together with, through prompts and groups."""
    parent: dict[str, str] = {}

    def root(key: str) -> str:
        parent.setdefault(key, key)
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    for row in rows:
        here, there = root(row.prompt_key), root(text_key(f"group {groups[row.id]}")) if row.id in groups else None
        if there is not None and here != there:
            parent[max(here, there)] = min(here, there)
    return {key: root(key) for key in list(parent)}


def hold_out(
    rows: Iterable[PreferenceRow], prompts: AbstractSet[str]
) -> tuple[list[PreferenceRow], list[PreferenceRow]]:
    """(kept, left out): rows whose prompt is not among `prompts`, and rows whose prompt is."""
    kept: list[PreferenceRow] = []
    out: list[PreferenceRow] = []
    if not prompts:
        return list(rows), out
    for row in rows:
        (out if row.prompt_key in prompts else kept).append(row)
    return kept, out


def counts(rows: Iterable[PreferenceRow]) -> Counter[str]:
    """Rows, prompts, ties and rows with votes: what a card says of a part."""
    kept = list(rows)
    return Counter(
        rows=len(kept),
        prompts=len({row.prompt_key for row in kept}),
        ties=sum(row.label == 0.5 for row in kept),
        with_votes=sum(row.votes is not None for row in kept),
    )
