"""One training run over cached activations, with the product's own targets, losses and MORE.

A plain loop: AdamW, linear warm-up and decay, dropout, gradients clipped at 1. A batch's texts go through the model
once each, however many of its pairs they stand in (all comparisons of a prompt as one batch element: Ouyang et al.
2022, arXiv 2203.02155, §3.5).
"""

import hashlib
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from plurality.core.rows import PreferenceRow
from plurality.training.head import HeadInputs
from plurality.training.margins import MarginPolicy
from plurality.training.more import LAMBDA, More
from plurality.training.objectives import PairTargets, batch_losses
from plurality.training.targets import Objective, ObjectiveSpec, targets_for
from research.preferences.batches import Batches, Places
from research.preferences.corpus import Corpus, fresh_model, text_id, texts_of
from research.preferences.store import Run, as_json
from research.preferences.top import Top

_SCORED = 64
"""Texts of one forward pass without gradients."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that makes one run what it is, besides the data."""

    objective: Objective = "baseline"
    margin_policy: MarginPolicy = "paper"
    label: str = "one"
    """Where the label is from: `one` voter, or the `majority` of the others."""
    more: bool = False
    learning_rate: float = 2e-3
    epochs: int = 5
    batch: int = 0
    """Pairs of a step; 0: the pairs of one group."""
    seed: int = 0
    fold: int = 0
    layers: int = 6
    trained: int = 1
    """Uppermost layers that learn; those below, and the embeddings, stay as they are."""
    pairs: int = 3000
    warmup: float = 0.1
    weight_decay: float = 0.01

    @property
    def spec(self) -> ObjectiveSpec:
        """How rows become targets."""
        return ObjectiveSpec(self.objective, self.margin_policy)


def train(
    name: str,
    settings: Settings,
    corpus: Corpus,
    rows: Sequence[PreferenceRow],
    held_out: Sequence[PreferenceRow],
    *,
    groups: Sequence[str] | None = None,
) -> Run:
    """Train on rows; rewards of all texts of the rows held out.

    Args:
        groups: of each row: what shares texts (a debate's side), for batches of one group.
    """
    began = time.perf_counter()
    torch.manual_seed(settings.seed)
    top = Top(fresh_model(corpus.max_length).model, frozen=corpus.depth, layers=settings.layers)
    targets = targets_for(settings.spec, list(rows), source=name)
    texts_B2, kept = corpus.pairs(rows), [i for i, target in enumerate(targets) if target.keep]
    sources = tuple(sorted({row.source for row in rows}))
    columns = [
        (row.label, target.target, target.margin, target.weight, sources.index(row.source))
        for row, target in zip(rows, targets, strict=True)
    ]
    batches = Batches.of(kept, [row.source for row in rows], groups, seed=settings.seed, size=settings.batch)
    steps = [chosen for epoch in range(settings.epochs) for chosen in batches.epoch(epoch)]
    log = _loop(top, settings, corpus, texts_B2, torch.tensor(columns, dtype=torch.float32), sources, steps, name)
    wanted = sorted({int(i) for i in corpus.pairs(held_out).ravel()})
    names = {index: identity for identity, index in corpus.place.items()}
    reward = dict(zip([names[i] for i in wanted], score(top, corpus, wanted), strict=True))
    return Run(name, as_json(settings), reward, time.perf_counter() - began, log)


def data_digest(rows: Sequence[PreferenceRow], held_out: Sequence[PreferenceRow]) -> str:
    """What a run was trained on and what it held out, as one digest: a run on other data is another run."""
    texts = sorted({text_id(text) for row in held_out for text in texts_of(row)})
    trained = [(row.id, row.label, str(row.votes), *map(text_id, texts_of(row))) for row in rows]
    return hashlib.sha256(repr((trained, texts)).encode()).hexdigest()[:16]


@torch.inference_mode()
def score(top: Top, corpus: Corpus, texts: Sequence[int]) -> list[float]:
    """The reward of each text."""
    top.eval()
    order = sorted(texts, key=lambda i: corpus.start[i + 1] - corpus.start[i])
    found: dict[int, float] = {}
    for first in range(0, len(order), _SCORED):
        chosen = order[first : first + _SCORED]
        reward_N1 = top.head(top.features(*corpus.batch(chosen)))
        found |= dict(zip(chosen, reward_N1.squeeze(-1).tolist(), strict=True))
    return [found[i] for i in texts]


def _loop(
    top: Top,
    settings: Settings,
    corpus: Corpus,
    texts_B2: Places,
    targets_B5: Tensor,
    sources: tuple[str, ...],
    steps: Sequence[Places],
    name: str,
) -> dict[str, list[float]]:
    optimizer = torch.optim.AdamW(top.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    rising, count = max(1, round(settings.warmup * len(steps))), len(steps)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / rising, (count - step) / max(1, count - rising))
    )
    more = More(top.head, sources) if settings.more else None
    log: dict[str, list[float]] = defaultdict(list)
    top.train()
    for chosen in tqdm(steps, desc=name, unit="step", leave=False):
        loss = _step_loss(top, corpus, texts_B2[chosen], PairTargets.of(targets_B5[chosen]), more, log)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(top.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        log["loss"].append(round(float(loss.detach()), 5))
    return dict(log)


def _step_loss(
    top: Top,
    corpus: Corpus,
    texts_B2: Places,
    targets: PairTargets,
    more: More | None,
    log: dict[str, list[float]],
) -> Tensor:
    distinct, where = np.unique(texts_B2, return_inverse=True)
    feature_ND = top.features(*corpus.batch(distinct))
    feature_2BD = feature_ND[torch.from_numpy(where.reshape(-1, 2).T.ravel())]
    if more is None:
        return batch_losses(top.head(feature_2BD).squeeze(-1), targets).mean()
    more.begin()
    with HeadInputs(more.head, detach=False) as inputs:
        logit_2B1 = top.head(feature_2BD)
        more.observe(inputs, logit_2B1, targets)
    more.solve()
    for key, value in more.entry.items():
        if key.startswith(LAMBDA):
            log[key].append(round(value, 5))
    return (more.share(targets.source_B) * batch_losses(logit_2B1.squeeze(-1), targets)).sum()
